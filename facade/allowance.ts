// What copies may use up of something that clients need too. It refills with time up to a limit.
// Work that has begun may overdraw it, which keeps new work out until the debt is paid: so what is
// left out depends on the moment only, never on what an answer turned out to be. Work pays in advance
// what the work before it has cost, or else all that begins at once would overdraw it together.

export interface AllowanceOptions {
  readonly perSecond: number;
  /** The most that gathers while nothing is spent. */
  readonly most: number;
  /** What one piece of work costs, as far as is known before the first has ended. */
  readonly usual?: number;
  /** The time by which it refills, in milliseconds; the clock's where left out. */
  readonly now?: () => number;
}

/** Of the newest piece of work in what is usual. */
const WEIGHT = 0.1;

export class Allowance {
  readonly #perMs: number;
  readonly #most: number;
  readonly #now: () => number;
  #left: number;
  #at: number;
  #usual: number;
  /** Spent since a piece of work last ended. */
  #recent = 0;

  constructor({ perSecond, most, usual = 0, now = performanceNow }: AllowanceOptions) {
    this.#perMs = perSecond / 1000;
    this.#most = most;
    this.#now = now;
    this.#left = most;
    this.#at = now();
    this.#usual = usual;
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
    this.#recent += amount;
  }

  /** Pays in advance for a piece of work; the returned function is called when it has ended, and has spent what it did. */
  begin(): () => void {
    const advance = this.#usual;
    this.#left -= advance;
    return () => {
      this.#left += advance;
      this.#usual += (this.#recent - this.#usual) * WEIGHT;
      this.#recent = 0;
    };
  }
}

function performanceNow(): number {
  return performance.now();
}

/**
 * Milliseconds in which the event loop has had nothing to do. A share of those is taken from nobody: who waits
 * for a processor of which a part ρ is in use waits about 1 / (1 - ρ) as long as at leisure, and work that takes
 * the share s of what is left makes that 1 + s of it, however much is in use.
 */
export function freeMs(): number {
  return performance.eventLoopUtilization().idle;
}
