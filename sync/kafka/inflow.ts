// How fast records come, by the last while. Where they come fast, what comes in a moment is written to
// brokers, fetched from them, and written to the target together. Records one by one cost brokers, target
// and ourselves more than they do, just when all have most to do.
import { sleep } from '../../core/lifecycle.ts';

/** The time to go by: milliseconds. */
export interface Pace {
  readonly now: () => number;
  readonly rest: (ms: number, signal?: AbortSignal) => Promise<void>;
}

export const REAL: Pace = { now: () => performance.now(), rest: sleep };

const WHILE_MS = 100;
/** Some thousand rows a second. */
const FAST_BYTES_PER_MS = 5_000;

export class Inflow {
  readonly #now: () => number;
  #since: number;
  #bytes = 0;
  #bytesPerMs = 0;

  /** By a clock of milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
    this.#since = now();
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    const elapsed = this.#now() - this.#since;
    if (elapsed < WHILE_MS) return;
    this.#bytesPerMs = this.#bytes / elapsed;
    this.#bytes = 0;
    this.#since += elapsed;
  }

  get isFast(): boolean {
    return this.#bytesPerMs >= FAST_BYTES_PER_MS;
  }
}
