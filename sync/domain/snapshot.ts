// Reading `pg_current_snapshot()`: which transactions a query could not see. A commit is in the WAL
// before it is visible, so a chunk may miss a change that the stream has already delivered.

export interface Snapshot {
  /** Low 32 bits of the oldest id still running: everything before it is visible. */
  readonly xmin: number;
  /** Low 32 bits of the next id: everything from here on is invisible. */
  readonly xmax: number;
  readonly running: ReadonlySet<number>;
}

/** Parses `xmin:xmax:xip,xip,…`, 64-bit ids; pgoutput names transactions by their low 32 bits. */
export function parseSnapshot(text: string): Snapshot {
  const [xmin = '', xmax = '', running = ''] = text.split(':');
  return {
    xmin: low32(xmin),
    xmax: low32(xmax),
    running: new Set(running === '' ? [] : running.split(',').map(low32)),
  };
}

/** True when the snapshot could not see what this transaction did. */
export function invisible(snapshot: Snapshot, xid: number): boolean {
  return !before(xid, snapshot.xmax) || snapshot.running.has(xid);
}

/** Order of 32-bit transaction ids, which wrap around. */
export function before(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

function low32(text: string): number {
  return Number(BigInt(text) & 0xffffffffn);
}
