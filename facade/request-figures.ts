// Counts finished requests by route, path and status, and their latencies by capability and path.
// The hot path adds to plain numbers, found by the match object; prom-client sees them when somebody
// scrapes. Labels are bounded: routes come from the definition, everything unclaimed is one of them.
import { Counter, type Metric, type Registry } from 'prom-client';
import type { Owner } from '../control/domain/phase.ts';
import type { Match } from './domain/routes.ts';

/** Where a request went; `none` when it was forwarded to nobody. */
export type Path = Owner | 'none';

/** Counts one finished request. */
export type CountRequest = (
  match: Match | undefined,
  path: Path,
  status: number,
  ms: number,
) => void;

const PATHS = ['monolith', 'service', 'none'] as const;
const BOUNDS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const BOUNDS_MS = BOUNDS_S.map((seconds) => seconds * 1_000);

class Series {
  readonly statuses = new Map<number, number>();
  /** By the first bound that is not exceeded; the last one has none. */
  readonly buckets = new Float64Array(BOUNDS_MS.length + 1);
  sumMs = 0;

  add(status: number, ms: number): void {
    this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1);
    this.sumMs += ms;
    let at = 0;
    while (at < BOUNDS_MS.length && ms > (BOUNDS_MS[at] ?? Infinity)) at += 1;
    this.buckets[at] = (this.buckets[at] ?? 0) + 1;
  }
}

/** Registers both metrics; the returned function feeds them. */
export function requestFigures(registry: Registry): CountRequest {
  const requests = new Map<Match | undefined, Record<Path, Series>>();
  new Counter({
    name: 'banyan_requests_total',
    help: 'Requests by capability, route, the path they took and the status the client got.',
    labelNames: ['capability', 'route', 'path', 'status'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [match, byPath] of requests)
        for (const path of PATHS)
          for (const [status, count] of byPath[path].statuses) {
            const route = match?.label ?? 'unclaimed';
            this.inc({ capability: match?.capability ?? '', route, path, status }, count);
          }
    },
  });
  registry.registerMetric(latencies(requests));
  return (match, path, status, ms) => {
    let byPath = requests.get(match);
    if (!byPath) {
      byPath = { monolith: new Series(), service: new Series(), none: new Series() };
      requests.set(match, byPath);
    }
    byPath[path].add(status, ms);
  };
}

/** A histogram as the registry reads it: prom-client's own costs more than all the rest of a request's figures. */
function latencies(requests: ReadonlyMap<Match | undefined, Record<Path, Series>>): Metric {
  const about = {
    name: 'banyan_request_duration_seconds',
    help: 'From the arrival of a request to the end of its answer, by capability and path.',
    type: 'histogram',
    aggregator: 'sum',
  };
  const values = (): object[] => {
    const sums = new Map<string, { capability: string; path: Path; series: Series }>();
    for (const [match, byPath] of requests)
      for (const path of PATHS) {
        const capability = match?.capability ?? '';
        const key = `${capability} ${path}`;
        const sum = sums.get(key) ?? { capability, path, series: new Series() };
        sums.set(key, sum);
        sum.series.sumMs += byPath[path].sumMs;
        byPath[path].buckets.forEach((count, at) => {
          sum.series.buckets[at] = (sum.series.buckets[at] ?? 0) + count;
        });
      }
    return [...sums.values()].flatMap(valuesOf);
  };
  return {
    ...about,
    get: () => Promise.resolve({ ...about, values: values() }),
  } as unknown as Metric;
}

function valuesOf({
  capability,
  path,
  series,
}: {
  capability: string;
  path: Path;
  series: Series;
}): object[] {
  const name = 'banyan_request_duration_seconds';
  const labels = { capability, path };
  let count = 0;
  const buckets = [...series.buckets].map((inBucket, at) => {
    count += inBucket;
    const le = BOUNDS_S[at] ?? '+Inf';
    return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: count };
  });
  if (count === 0) return [];
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: series.sumMs / 1_000 },
    { metricName: `${name}_count`, labels, value: count },
  ];
}
