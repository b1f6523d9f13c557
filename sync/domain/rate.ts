// How fast something goes, from what was done in the last seconds.

const WINDOW_MS = 10_000;

export class Rate {
  #samples: { readonly atMs: number; readonly count: number }[] = [];

  /** `count` more were done by the time `atMs`. */
  add(count: number, atMs: number): void {
    this.#samples.push({ atMs, count });
    const from = atMs - WINDOW_MS;
    while ((this.#samples[0]?.atMs ?? from) < from) this.#samples.shift();
  }

  /** A second, over the window; null before two samples. */
  perSecond(nowMs: number): number | null {
    const [first] = this.#samples;
    if (!first || this.#samples.length < 2) return null;
    const counted = this.#samples.slice(1).reduce((sum, { count }) => sum + count, 0);
    return (counted * 1_000) / Math.max(1, nowMs - first.atMs);
  }
}
