// How long a worker that has died is left before it is started again: at once after a long life, ever
// longer while it dies young, so that a worker that cannot live does not keep the machine busy.

const FIRST_MS = 100;
const LONGEST_MS = 10_000;
/** A life of this length ends a series of failures. */
const STEADY_MS = 30_000;

export interface Restart {
  readonly delayMs: number;
  /** Deaths in a row, to be handed back with the next one. */
  readonly failures: number;
}

export function nextRestart(failures: number, livedMs: number): Restart {
  const inRow = livedMs >= STEADY_MS ? 1 : failures + 1;
  return { failures: inRow, delayMs: Math.min(FIRST_MS * 2 ** (inRow - 1), LONGEST_MS) };
}
