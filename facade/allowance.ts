// What copies may use up of something that clients need too. It refills with time up to a limit.
// Work that has begun may overdraw it, which keeps new work out until the debt is paid: so what is
// left out depends on the moment only, never on what an answer turned out to be.

export interface AllowanceOptions {
  readonly perSecond: number;
  /** The most that gathers while nothing is spent. */
  readonly most: number;
  /** Milliseconds; for tests. */
  readonly now?: () => number;
}

export class Allowance {
  readonly #perMs: number;
  readonly #most: number;
  readonly #now: () => number;
  #left: number;
  #at: number;

  constructor({ perSecond, most, now = performanceNow }: AllowanceOptions) {
    this.#perMs = perSecond / 1000;
    this.#most = most;
    this.#now = now;
    this.#left = most;
    this.#at = now();
  }

  /** Whether something is left. */
  has(): boolean {
    const now = this.#now();
    this.#left = Math.min(this.#most, this.#left + (now - this.#at) * this.#perMs);
    this.#at = now;
    return this.#left > 0;
  }

  spend(amount: number): void {
    this.#left -= amount;
  }
}

function performanceNow(): number {
  return performance.now();
}
