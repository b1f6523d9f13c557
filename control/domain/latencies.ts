// Latencies as counts in buckets that grow by a quarter each, from one millisecond to fifteen seconds:
// fine enough to compare p95 of two paths, and small enough to travel with each report.

const GROWTH = 1.25;
/** Upper bounds in milliseconds; one more bucket has none. */
const BOUNDS_MS: readonly number[] = Array.from({ length: 44 }, (_, at) => GROWTH ** at);

export const LATENCY_BUCKETS = BOUNDS_MS.length + 1;

/** The bucket that a latency falls into. */
export function bucketOf(ms: number): number {
  if (ms <= 1) return 0;
  return Math.min(Math.ceil(Math.log(ms) / Math.log(GROWTH) - 1e-9), BOUNDS_MS.length);
}

/** The upper bound of the bucket that holds the quantile; undefined when nothing was counted. */
export function quantileMs(counts: readonly number[], share: number): number | undefined {
  const all = counts.reduce((sum, one) => sum + one, 0);
  if (all === 0) return undefined;
  let seen = 0;
  const at = counts.findIndex((one) => (seen += one) >= all * share);
  return BOUNDS_MS[at] ?? Infinity;
}

/** How many were slower than `ms`, in whole buckets. */
export function slowerThan(counts: readonly number[], ms: number): number {
  return counts.slice(bucketOf(ms) + 1).reduce((sum, one) => sum + one, 0);
}
