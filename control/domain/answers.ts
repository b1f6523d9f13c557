// Counted answers of a path: all of them, and by kind. A path that answers more writes than another fails
// more, and is slower, without being any worse: only like is compared with like.
import { LATENCY_BUCKETS } from './latencies.ts';
import type { Owner } from './phase.ts';

export type Kind = 'read' | 'write';

export const KINDS: readonly Kind[] = ['read', 'write'];

export interface Counts {
  readonly answered: number;
  readonly failed: number;
  /** By `bucketOf`. */
  readonly latencies: readonly number[];
}

/** All that one path answered. */
export interface PathAnswers extends Counts {
  readonly kinds: Readonly<Record<Kind, Counts>>;
  /** The route with the most failures, where there are any. */
  readonly worst:
    { readonly route: string; readonly answered: number; readonly failed: number } | undefined;
}

export interface Answers extends Readonly<Record<Owner, PathAnswers>> {
  /** What the monolith answered before: all there is to go by where little or none of it runs beside. */
  readonly earlier?: PathAnswers | undefined;
  /** The same answers by the steps they were given in, the oldest first: what all of them shared in one says nothing. */
  readonly steps?: readonly Readonly<Record<Owner, PathAnswers>>[] | undefined;
}

/** Counts of one route. */
export interface RouteCounts extends Counts {
  readonly route: string;
  readonly kind: Kind;
}

export const NO_COUNTS: Counts = {
  ...{ answered: 0, failed: 0 },
  latencies: new Array<number>(LATENCY_BUCKETS).fill(0),
};

export function pathAnswers(rows: readonly RouteCounts[]): PathAnswers {
  const routes = new Map<string, { route: string; answered: number; failed: number }>();
  for (const { route, answered, failed } of rows) {
    const all = routes.get(route) ?? { route, answered: 0, failed: 0 };
    routes.set(route, {
      route,
      answered: all.answered + answered,
      failed: all.failed + failed,
    });
  }
  const [worst] = [...routes.values()]
    .filter(({ failed }) => failed > 0)
    .sort((a, b) => b.failed - a.failed);
  const of = (kind: Kind): Counts =>
    rows.filter((row) => row.kind === kind).reduce(plus, NO_COUNTS);
  const kinds = { read: of('read'), write: of('write') };
  return { ...plus(kinds.read, kinds.write), kinds, worst };
}

export function plus(one: Counts, other: Counts): Counts {
  return {
    answered: one.answered + other.answered,
    failed: one.failed + other.failed,
    latencies: one.latencies.map((count, at) => count + (other.latencies[at] ?? 0)),
  };
}
