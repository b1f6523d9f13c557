// The facade's figures, in a registry of its own. The hot path adds to plain numbers, found by the
// match object; prom-client sees them when somebody scrapes. Labels are bounded: routes come from the
// definition, everything unclaimed is one of them.
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Owner } from '../control/domain/phase.ts';
import type { Match } from './domain/routes.ts';
import type { HoldFigures } from './holds.ts';

/** Where a request went; `none` when it was forwarded to nobody. */
export type Path = Owner | 'none';

export interface Metrics {
  readonly registry: Registry;
  /** Counts one finished request. */
  finished(match: Match | undefined, path: Path, status: number, ms: number): void;
}

export interface MetricsSources {
  readonly capabilities: readonly string[];
  readonly holds: (capability: string) => HoldFigures;
  readonly inFlight: () => number;
}

type ByStatus = Map<number, number>;
type Series = Record<Path, ByStatus>;

const LATENCY_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export function createMetrics(sources: MetricsSources): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const requests = new Map<Match | undefined, Series>();

  new Counter({
    name: 'banyan_requests_total',
    help: 'Requests by capability, route, the path they took and the status the client got.',
    labelNames: ['capability', 'route', 'path', 'status'],
    registers,
    collect() {
      this.reset();
      for (const [match, series] of requests)
        for (const path of ['monolith', 'service', 'none'] as const)
          for (const [status, count] of series[path])
            this.inc(
              {
                capability: match?.capability ?? '',
                route: match?.label ?? 'unclaimed',
                path,
                status,
              },
              count,
            );
    },
  });
  const latency = new Histogram({
    name: 'banyan_request_duration_seconds',
    help: 'From the arrival of a request to the end of its answer, by path.',
    labelNames: ['path'],
    buckets: LATENCY_BUCKETS_S,
    registers,
  });
  const observe: Record<Path, (seconds: number) => void> = {
    monolith: child(latency, 'monolith'),
    service: child(latency, 'service'),
    none: child(latency, 'none'),
  };
  new Gauge({
    name: 'banyan_held_writes',
    help: 'Writes that wait for the end of a switch.',
    labelNames: ['capability'],
    registers,
    collect() {
      for (const one of sources.capabilities)
        this.set({ capability: one }, sources.holds(one).waiting);
    },
  });
  new Counter({
    name: 'banyan_held_writes_total',
    help: 'Writes that have waited for the end of a switch.',
    labelNames: ['capability'],
    registers,
    collect() {
      this.reset();
      for (const one of sources.capabilities)
        this.inc({ capability: one }, sources.holds(one).heldTotal);
    },
  });
  new Gauge({
    name: 'banyan_writes_in_flight',
    help: 'Writes of a capability that were forwarded and not yet answered.',
    labelNames: ['capability'],
    registers,
    collect() {
      for (const one of sources.capabilities)
        this.set({ capability: one }, sources.holds(one).inFlight);
    },
  });
  new Gauge({
    name: 'banyan_requests_in_flight',
    help: 'Requests that were received and not yet answered.',
    registers,
    collect() {
      this.set(sources.inFlight());
    },
  });

  return {
    registry,
    finished: (match, path, status, ms) => {
      let series = requests.get(match);
      if (!series) {
        series = { monolith: new Map(), service: new Map(), none: new Map() };
        requests.set(match, series);
      }
      series[path].set(status, (series[path].get(status) ?? 0) + 1);
      observe[path](ms / 1000);
    },
  };
}

function child(histogram: Histogram<'path'>, path: Path): (seconds: number) => void {
  const labelled = histogram.labels({ path });
  return (seconds) => {
    labelled.observe(seconds);
  };
}
