// When a copy may read on at its source: not while a human has paused it, not faster than its budget
// of rows, and after a rest while the source is under strain (domain/pace.ts). What a source needs is
// the time that this process spent waiting during a read: its own work on other rows is no sign of it.
import { performance } from 'node:perf_hooks';
import { sleep } from '../core/lifecycle.ts';
import { RowBudget, Strain } from './domain/pace.ts';

export interface CopyPaceOptions {
  /** Whether a human has paused the copy. */
  readonly paused?: () => boolean;
  /** For all tables of the flow together. */
  readonly rowsPerSecond?: number | undefined;
}

const LOOK_MS = 50;
/** Of a second: a chunk is not larger than what may be read in this time. */
const CHUNK_SHARE = 0.25;

export class CopyPace {
  readonly #paused: () => boolean;
  readonly #rowsPerSecond: number | undefined;
  readonly #budget: RowBudget | undefined;
  readonly #strains = new Map<string, Strain>();
  #restUntil = 0;

  constructor({ paused = () => false, rowsPerSecond }: CopyPaceOptions = {}) {
    this.#paused = paused;
    this.#rowsPerSecond = rowsPerSecond;
    if (rowsPerSecond !== undefined) this.#budget = new RowBudget(rowsPerSecond);
  }

  /** The most rows that a chunk may have. */
  get mostRows(): number {
    return this.#rowsPerSecond === undefined
      ? Number.POSITIVE_INFINITY
      : Math.max(1, Math.round(this.#rowsPerSecond * CHUNK_SHARE));
  }

  /** Resolves when the next read may begin; false when the signal aborts before. */
  async turn(signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      const now = performance.now();
      const waitMs = Math.max(this.#restUntil - now, this.#budget?.waitMs(now) ?? 0);
      if (this.#paused()) await sleep(LOOK_MS, signal);
      else if (waitMs > 0) await sleep(waitMs, signal);
      else return true;
    }
    return false;
  }

  /** Reads, and takes note of how long the source needed; gives that too. */
  async read<T>(
    table: string,
    work: () => Promise<T>,
    rowsOf: (read: T) => number,
  ): Promise<{ readonly read: T; readonly tookMs: number }> {
    const before = performance.eventLoopUtilization();
    const began = performance.now();
    const read = await work();
    const now = performance.now();
    const { idle } = performance.eventLoopUtilization(before);
    const rows = rowsOf(read);
    this.#budget?.spend(rows, now);
    let strain = this.#strains.get(table);
    if (!strain) this.#strains.set(table, (strain = new Strain()));
    this.#restUntil = Math.max(this.#restUntil, now + strain.restMs(rows, idle));
    return { read, tookMs: now - began };
  }
}
