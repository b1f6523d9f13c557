// A candidate that does not answer is asked only now and then: one copy after the other that ends in the
// same silence tells nothing new, and costs a connection each. Envoy does so with hosts (outlier detection,
// consecutive failures); here there is one host, and its first answer brings it back.

export interface EjectionOptions {
  /** Copies without an answer, in a row, after which it is out. */
  readonly failures: number;
  /** How often it is asked then, in milliseconds. */
  readonly probeMs: number;
  readonly now?: () => number;
}

export class Ejection {
  readonly #options: EjectionOptions;
  readonly #now: () => number;
  #failures = 0;
  #probeAt = 0;

  constructor(options: EjectionOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Whether it is out and its next probe not yet due. */
  get isOut(): boolean {
    return this.#failures >= this.#options.failures && this.#now() < this.#probeAt;
  }

  /** A copy has begun: while it is out, the next one waits. */
  began(): void {
    if (this.#failures >= this.#options.failures)
      this.#probeAt = this.#now() + this.#options.probeMs;
  }

  /** Whether it answered a copy at all, be it rightly. */
  ended(answered: boolean): void {
    this.#failures = answered ? 0 : this.#failures + 1;
    if (this.#failures === this.#options.failures)
      this.#probeAt = this.#now() + this.#options.probeMs;
  }
}
