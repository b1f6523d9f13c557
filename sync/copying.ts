// The state of a copy that runs beside the stream, as the applier sees it: everything here is called
// in stream order. Progress is staged inside the applier's transaction and counts when it commits.
import type pg from 'pg';
import type { BackfillProgress } from '../control/flow-reports.ts';
import { AwaitedParts, nameText } from './awaited-parts.ts';
import type { Chunk, Mark, Marks, Reading } from './chunk.ts';
import { CopyRecords, type RowName, type RowQuery, type Stage } from './copy-records.ts';
import { keyText } from './domain/target-table.ts';
import { Rate } from './domain/rate.ts';
import type { Snapshot } from './domain/snapshot.ts';
import { ChunkWindow, Delivered } from './domain/window.ts';

interface TableState {
  stage: Stage;
  cursor: readonly string[] | null;
  rows: number;
  readonly rate: Rate;
}

/** Chunks of a table that follow each other: when one must be read again, so must those behind it. */
export interface Chain {
  readonly table: string;
  readonly generation: number;
}

interface Pending {
  readonly window: ChunkWindow;
  readonly chain: Chain | undefined;
  readonly settled: PromiseWithResolvers<'applied' | 'again'>;
  /** Set before the high mark is written. */
  reading: Reading | undefined;
}

/** Times that a row is read again and refused before it is parked: its parent had seconds to come. */
const MOST_TRIES = 40;

function nothingStaged(): { chunks: Chunk[]; windows: Pending[]; rereads?: boolean } {
  return { chunks: [], windows: [] };
}

export class Copying {
  readonly #records: CopyRecords;
  readonly #run: string;
  readonly #states = new Map<string, TableState>();
  readonly #delivered = new Delivered();
  #suspects: ReadonlySet<number> = new Set();
  /** One is read while the ones before it are applied; several tables at a time. */
  #pending: Pending[] = [];
  /** By table, of the chunks that are read now. */
  readonly #generations = new Map<string, number>();
  readonly #tries = new Map<string, number>();
  #windows = 0;
  #rereads = false;
  readonly #awaited = new AwaitedParts();
  #staged: { chunks: Chunk[]; windows: Pending[]; rereads?: boolean } = nothingStaged();

  /** `run` tells this process's marks from those of one that died. */
  constructor(flow: string, run: string) {
    this.#records = new CopyRecords(flow);
    this.#run = run;
  }

  /** Loads what an earlier process has done; `first` is the stage of a table that has not begun. */
  async load(client: pg.Client, tables: readonly string[], first: Stage): Promise<void> {
    for (const { table, ...state } of await this.#records.tables(client, tables, first))
      this.#states.set(table, { ...state, rate: new Rate() });
    this.#rereads = await this.#records.rereads(client);
    for (const part of await this.#records.awaited(client)) this.#awaited.add(part);
  }

  /**
   * Transactions that run now may have been delivered to an earlier process: their commit may be in
   * the WAL and not visible yet. No chunk counts that cannot see them.
   */
  suspect(snapshot: Snapshot): void {
    this.#suspects = snapshot.running;
    this.#delivered.seen(snapshot);
  }

  /** Those that still run have not committed, and come by the stream when they do. */
  trust(): void {
    this.#suspects = new Set();
  }

  /** Some of them run, and do not come by the stream as a whole: nothing is copied before they have ended. */
  waits = false;

  /** Some table is not fully copied, or some row must be read again. */
  get running(): boolean {
    return this.#rereads || this.copies;
  }

  /** Some row must be read again. The one who has emptied the list says so. */
  get rereads(): boolean {
    return this.#rereads;
  }

  set rereads(pending: boolean) {
    this.#rereads = pending;
    if (!pending) this.#tries.clear();
  }

  stage(table: string): Stage {
    return this.#states.get(table)?.stage ?? 'done';
  }

  cursor(table: string): readonly string[] | null {
    return this.#states.get(table)?.cursor ?? null;
  }

  progress(estimate: (table: string) => number): BackfillProgress[] {
    return [...this.#states].map(([table, state]) => ({
      table,
      rows: state.rows,
      estimatedRows: estimate(table),
      perSecond: state.stage === 'copy' ? state.rate.perSecond(performance.now()) : null,
      done: state.stage === 'done',
    }));
  }

  /** Some table is not fully copied. */
  get copies(): boolean {
    return [...this.#states.values()].some((state) => state.stage !== 'done');
  }

  /** For windows of a table's chunks: those opened under an earlier chain than the present one are dropped. */
  chain(table: string): Chain {
    return { table, generation: this.#generations.get(table) ?? 0 };
  }

  /**
   * Opens a window: writes its marks, reads in between. Gives what was read, and what becomes of it:
   * the rows are in, or must be read again.
   */
  async window<T extends Reading>(
    tables: readonly string[],
    marks: Marks<T>,
    signal: AbortSignal,
    chain?: Chain,
  ): Promise<{ readonly reading: T; readonly settled: Promise<'applied' | 'again'> }> {
    const window = new ChunkWindow(++this.#windows, tables);
    const pending: Pending = {
      ...{ window, chain },
      settled: Promise.withResolvers(),
      reading: undefined,
    };
    const drop = (): void => {
      this.#pending = this.#pending.filter((one) => one !== pending);
    };
    const stop = (): void => {
      pending.settled.resolve('again');
    };
    this.#pending.push(pending);
    signal.addEventListener('abort', stop);
    const settled = pending.settled.promise.finally(() => {
      signal.removeEventListener('abort', stop);
      drop();
    });
    try {
      await marks.low(window.id, this.#run);
      const reading = await marks.read();
      pending.reading = reading;
      await marks.high(window.id, this.#run);
      if (signal.aborted) stop();
      return { reading, settled };
    } catch (error) {
      stop();
      throw error;
    }
  }

  // From here on: what the applier tells and asks.

  /** 0 is no transaction: a row that a connector has read, or a word of our own. */
  delivered(xid: number): void {
    if (xid !== 0) this.#delivered.add(xid);
  }

  /** Every snapshot from now on sees what this one does. */
  seen(snapshot: Snapshot): void {
    this.#delivered.seen(snapshot);
  }

  /** Whether a window is open: then it must hear of the keys that the stream touches. */
  get watching(): boolean {
    return this.#pending.some(({ window }) => window.open);
  }

  touched(table: string, key: string): void {
    for (const { window } of this.#pending) window.touch(table, key);
  }

  truncated(table: string): void {
    for (const { window } of this.#pending) window.truncated(table);
  }

  /** Whether changes of this table are applied yet; that rows are gone always is. */
  streams(table: string): boolean {
    return this.stage(table) !== 'prune';
  }

  low(mark: Mark): void {
    const pending = this.#own(mark);
    if (!pending) return;
    pending.window.low(this.#delivered.copy());
    for (const table of pending.window.tables) {
      const state = this.#states.get(table);
      if (state?.stage === 'prune') state.stage = 'copy';
    }
  }

  /** The chunk to apply at this mark; undefined when it is not ours or must be read again. */
  high(mark: Mark): Chunk | undefined {
    const pending = this.#own(mark);
    if (!pending?.reading) return undefined;
    const { window, reading, chain } = pending;
    const current = !chain || chain.generation === this.chain(chain.table).generation;
    if (!current || window.verdict(reading.snapshot, this.#suspects) === 'again') {
      if (current && chain) this.#generations.set(chain.table, chain.generation + 1);
      pending.settled.resolve('again');
      return undefined;
    }
    this.#staged.windows.push(pending);
    const chunk = reading.chunk(window.quiet ? undefined : (key) => !window.touched(keyText(key)));
    window.close();
    return chunk;
  }

  /** Writes the progress that a chunk makes. */
  async record(client: pg.Client, chunk: Chunk): Promise<void> {
    this.#staged.chunks.push(chunk);
    await this.#records.record(client, chunk);
  }

  /** Of these parts, those that have been waiting for their driver. */
  awaited(parts: readonly string[], key: readonly string[]): readonly string[] {
    return this.#awaited.among(parts, key, this.#staged.chunks);
  }

  /** Whether a row that was read again and refused again may still become right by itself: for a while it may. */
  patientWith(row: RowName): boolean {
    if (this.copies) return true;
    const name = nameText(row);
    const tries = (this.#tries.get(name) ?? 0) + 1;
    this.#tries.set(name, tries);
    return tries < MOST_TRIES;
  }

  /** Puts rows on the list of those to read again at the source. */
  async readAgain(client: pg.Client, rows: readonly RowName[]): Promise<void> {
    await this.#records.list(client, rows);
    this.#staged.rereads = true;
  }

  /** The same for all rows that a query gives, as `source_table` and `key`. */
  async readAllAgain(client: pg.Client, rows: RowQuery): Promise<void> {
    if (await this.#records.listAll(client, rows)) this.#staged.rereads = true;
  }

  /** Has all tables copied again by the next process. */
  async again(client: pg.Client, stage: Stage): Promise<void> {
    await this.#records.again(client, stage);
  }

  committed(): void {
    const { chunks, windows, rereads } = this.#staged;
    this.#staged = nothingStaged();
    if (rereads) this.#rereads = true;
    for (const { table, size, progress } of chunks) {
      if (progress.kind === 'reread') {
        this.#awaited.reread(table, progress);
        continue;
      }
      const state = this.#states.get(table);
      if (!state) continue;
      state.cursor = progress.cursor;
      state.rows += size;
      state.rate.add(size, performance.now());
      if (progress.last) state.stage = 'done';
    }
    for (const { settled } of windows) settled.resolve('applied');
  }

  rolledBack(): void {
    this.#staged = nothingStaged();
  }

  #own(mark: Mark): Pending | undefined {
    return mark.run === this.#run
      ? this.#pending.find(({ window }) => window.id === mark.window)
      : undefined;
  }
}
