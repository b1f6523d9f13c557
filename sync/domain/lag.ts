// Percentiles over the most recent samples: how long a change takes from its commit at the source
// to its commit at the target.

export class LagWindow {
  readonly #samples: Float64Array;
  #count = 0;

  constructor(size = 4_096) {
    this.#samples = new Float64Array(size);
  }

  add(ms: number): void {
    this.#samples[this.#count % this.#samples.length] = ms;
    this.#count += 1;
  }

  /** The p-th percentile (0 to 1) in milliseconds, by nearest rank; null without samples. */
  percentile(p: number): number | null {
    const filled = Math.min(this.#count, this.#samples.length);
    if (filled === 0) return null;
    const sorted = this.#samples.slice(0, filled).sort();
    return sorted[Math.min(filled - 1, Math.max(0, Math.ceil(p * filled) - 1))] ?? null;
  }
}
