// One chunk of a backfill between its two marks (DBLog, "A Watermark Based Change-Data-Capture
// Framework"): what the stream said of a key between the marks wins over the row that was read.
// Added for PostgreSQL: a transaction that the stream delivered before the low mark may still be
// invisible to the read, because a commit is in the WAL before it is visible; then the rows may be
// stale without a trace in the window, and the chunk must be read again.
import { before, invisible, type Snapshot } from './snapshot.ts';

/**
 * Remembers which transactions the stream has delivered, as far back as a snapshot may need them. What a
 * flow makes up for after a long time away, any snapshot sees: none of that is kept, for it may be
 * millions.
 */
export class Delivered {
  readonly #xids = new Set<number>();
  /** The latest that has been heard of. */
  #seen: Snapshot | undefined;

  add(xid: number): void {
    if (!this.#seen || invisible(this.#seen, xid)) this.#xids.add(xid);
  }

  /** What this snapshot sees every one from now on is sure to see, and is forgotten. */
  seen(snapshot: Snapshot): void {
    for (const xid of this.#xids) if (!invisible(snapshot, xid)) this.#xids.delete(xid);
    // A stream that is behind tells of snapshots that are long gone.
    if (!this.#seen || !before(snapshot.xmax, this.#seen.xmax)) this.#seen = snapshot;
  }

  copy(): ReadonlySet<number> {
    return new Set(this.#xids);
  }
}

/** One transaction may touch millions of keys: a chunk that so many compete with is read again behind them. */
const MOST_TOUCHED = 50_000;

export type WindowVerdict = 'again' | 'apply';

export class ChunkWindow {
  readonly id: number;
  /** Source table whose changes compete with the chunk's rows. */
  readonly tables: ReadonlySet<string>;
  #delivered: ReadonlySet<number> | undefined;
  readonly #touched = new Set<string>();
  #spoilt = false;

  constructor(id: number, tables: Iterable<string>) {
    this.id = id;
    this.tables = new Set(tables);
  }

  get open(): boolean {
    return this.#delivered !== undefined;
  }

  /** The low mark passed; `delivered` are the transactions before it. */
  low(delivered: ReadonlySet<number>): void {
    this.#delivered = delivered;
    this.#touched.clear();
    this.#spoilt = false;
  }

  /** The high mark passed: what comes now is after the chunk. A replay opens it again at its low mark. */
  close(): void {
    this.#delivered = undefined;
  }

  touch(table: string, key: string): void {
    if (!this.#delivered || this.#spoilt || !this.tables.has(table)) return;
    this.#touched.add(key);
    if (this.#touched.size < MOST_TOUCHED) return;
    this.#spoilt = true;
    this.#touched.clear();
  }

  /** All rows of a table were touched at once. */
  truncated(table: string): void {
    if (this.tables.has(table)) this.#spoilt = true;
  }

  /** No key was touched. */
  get quiet(): boolean {
    return this.#touched.size === 0;
  }

  touched(key: string): boolean {
    return this.#touched.has(key);
  }

  /**
   * The high mark passed. `suspects` are transactions of an earlier process that may have been
   * delivered then. A window whose low mark was never seen is read again.
   */
  verdict(snapshot: Snapshot, suspects: ReadonlySet<number>): WindowVerdict {
    if (!this.#delivered || this.#spoilt) return 'again';
    for (const xid of this.#delivered) if (invisible(snapshot, xid)) return 'again';
    for (const xid of suspects) if (invisible(snapshot, xid)) return 'again';
    return 'apply';
  }
}
