// How far the clocks of two servers are apart at least, as each was read between two looks at our own.

/** Unix milliseconds: ours before and after, the server's in between. */
export interface ClockReading {
  readonly beforeMs: number;
  readonly serverMs: number;
  readonly afterMs: number;
}

/** How much later the first server's clock is than the second's; 0 where the readings let them agree. */
export function apartMs(first: ClockReading, second: ClockReading): number {
  const [a, b] = [offsetOf(first), offsetOf(second)];
  if (a.least > b.most) return a.least - b.most;
  if (b.least > a.most) return a.most - b.least;
  return 0;
}

/** What a clock is ahead of ours. */
function offsetOf({ beforeMs, serverMs, afterMs }: ClockReading): { least: number; most: number } {
  return { least: serverMs - afterMs, most: serverMs - beforeMs };
}
