// A candidate that gives no usable answer is asked only now and then: one copy after the other that ends in
// the same silence, or in an answer too large to compare, tells nothing new, and costs a connection each.
// Envoy does so with hosts (outlier detection, consecutive failures); here there is one host, and its first
// usable answer brings it back.

export interface EjectionOptions {
  /** Copies without a usable answer, in a row, after which it is out. */
  readonly failures: number;
  /** Milliseconds after which it is asked again; one copy at a time, however long that takes. */
  readonly probeMs: number;
  /** Is told when it goes out, and when it is back. */
  readonly onChange?: (isOut: boolean) => void;
  readonly now?: () => number;
}

export class Ejection {
  readonly #options: EjectionOptions;
  readonly #now: () => number;
  #failures = 0;
  #probeAt = 0;
  #underWay = 0;

  constructor(options: EjectionOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Whether it may not be asked now. */
  get isOut(): boolean {
    return this.#isEjected && (this.#underWay > 0 || this.#now() < this.#probeAt);
  }

  /** A copy has begun; `left` follows. */
  began(): void {
    this.#underWay += 1;
  }

  /** A copy is through with its first question, or has never asked it. */
  left(): void {
    this.#underWay -= 1;
  }

  /** Whether a copy got an answer that can be compared, be it a wrong one. */
  ended(answered: boolean): void {
    const before = this.#isEjected;
    this.#failures = answered ? 0 : this.#failures + 1;
    if (this.#isEjected) this.#probeAt = this.#now() + this.#options.probeMs;
    if (this.#isEjected !== before) this.#options.onChange?.(this.#isEjected);
  }

  get #isEjected(): boolean {
    return this.#failures >= this.#options.failures;
  }
}
