// How fast a source may be read for a copy: never faster than it was told, and slower while the source
// answers slower than it could.

/** Rows a second, on average over more than a moment. */
export class RowBudget {
  readonly #perSecond: number;
  #freeAt = 0;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  spend(rows: number, nowMs: number): void {
    // What was not used before is not saved up.
    this.#freeAt = Math.max(this.#freeAt, nowMs) + (rows * 1_000) / this.#perSecond;
  }

  /** Milliseconds until more may be read. */
  waitMs(nowMs: number): number {
    return Math.max(0, this.#freeAt - nowMs);
  }
}

/** A source that gives a row in less than this is never called strained: 100 000 rows a second. */
const FAST_MS = 0.01;
/** This much slower than at its best, and it is strained. */
const STRAINED = 5;
/** The best that was seen is forgotten by this much with each read: rows further on may be larger. */
const FORGET = 1.01;
const MOST_REST_MS = 2_000;
/** A read that takes no longer than this is no burden, and what it took says little. */
const SHORT_MS = 25;

/**
 * Tells from what a source needs for a row, against the best that it was seen to need in the same
 * table, how long a copy should leave it alone after a read. A source that needs ten times as long is
 * busy with somebody else's work: the copy then rests nine times as long as the read took, so that its
 * own share of the source's time shrinks as the strain grows.
 */
export class Strain {
  #best = Number.POSITIVE_INFINITY;

  /** `waitedMs` is what the source needed for these rows. */
  restMs(rows: number, waitedMs: number): number {
    if (rows === 0) return 0;
    const perRow = waitedMs / rows;
    this.#best = Math.max(FAST_MS, Math.min(this.#best * FORGET, perRow));
    const slower = perRow / this.#best;
    return slower < STRAINED || waitedMs < SHORT_MS
      ? 0
      : Math.min(MOST_REST_MS, waitedMs * (slower - 1));
  }
}
