// How much may be sent again. Retries help while failures are rare and hurt while an upstream is
// down, so they are a share of what was asked in the last ten seconds, plus a few for quiet times
// (the rule of Finagle and Linkerd). Invariant: within any ten seconds the retries are no more than
// ratio × requests + the reserve.

const SLOTS = 10;
const SLOT_MS = 1_000;
/** Retries that are always there in ten seconds. */
const RESERVE = 30;

export class RetryBudget {
  readonly #ratio: number;
  readonly #requests = new Float64Array(SLOTS);
  readonly #retries = new Float64Array(SLOTS);
  /** Number of the newest slot, in seconds of the clock that `now` comes from. */
  #newest = 0;

  /** `ratio`: retries a request, 0 to 1. */
  constructor(ratio: number) {
    this.#ratio = ratio;
  }

  /** Counts a request that is sent for the first time; `nowMs` by a clock that never goes back. */
  deposit(nowMs: number): void {
    const slot = this.#slot(nowMs);
    this.#requests[slot] = (this.#requests[slot] ?? 0) + 1;
  }

  /** Takes one retry, if there is one left. */
  withdraw(nowMs: number): boolean {
    const slot = this.#slot(nowMs);
    if (sum(this.#retries) + 1 > sum(this.#requests) * this.#ratio + RESERVE) return false;
    this.#retries[slot] = (this.#retries[slot] ?? 0) + 1;
    return true;
  }

  #slot(nowMs: number): number {
    const second = Math.floor(nowMs / SLOT_MS);
    if (second > this.#newest) {
      const passed = Math.min(second - this.#newest, SLOTS);
      for (let nth = 1; nth <= passed; nth++) {
        const slot = (this.#newest + nth) % SLOTS;
        this.#requests[slot] = 0;
        this.#retries[slot] = 0;
      }
      // More than a round has passed: every slot was emptied, whichever is the newest.
      this.#newest = second;
    }
    return this.#newest % SLOTS;
  }
}

function sum(slots: Float64Array): number {
  let total = 0;
  for (const one of slots) total += one;
  return total;
}
