// The facade's figures, in a registry of its own. What others know is read when somebody scrapes.
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { CapabilityState } from '../control/domain/state.ts';
import type { BreakerFigure } from './guards.ts';
import type { HoldFigures } from './holds.ts';
import { requestFigures } from './request-figures.ts';
import { UNFORWARDED, type Ended } from './ended.ts';

export interface Metrics {
  readonly registry: Registry;
  /** Counts one finished request. */
  finished(ended: Ended): void;
  /** Counts one that was refused before anything else was known of it, after so long. */
  readonly refused: (status: number, ms: number) => void;
  /** A write has waited this long and goes on. */
  held(ms: number): void;
}

export interface MetricsSources {
  readonly capabilities: readonly string[];
  readonly holds: (capability: string) => HoldFigures;
  readonly inFlight: () => number;
  readonly breakers: () => readonly BreakerFigure[];
  readonly overload: () => number;
  readonly states: () => ReadonlyMap<string, CapabilityState>;
  readonly heartbeatAgeMs: () => number | undefined;
}

const HELD_BUCKETS_S = [0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10];
const BREAKER_VALUES = { closed: 0, 'half-open': 1, open: 2 } as const;

export function createMetrics(sources: MetricsSources): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const countRequest = requestFigures(registry);
  const totals = { retries: 0, fallbacks: 0 };

  total('banyan_retries_total', 'Requests that were sent again.', () => totals.retries);
  total(
    'banyan_fallbacks_total',
    'Reads that the other path answered because their own had failed.',
    () => totals.fallbacks,
  );
  function total(name: string, help: string, value: () => number): void {
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(value());
      },
    });
  }
  const refusals = new Map<string, number>();
  new Counter({
    name: 'banyan_refused_total',
    help: 'Requests that the edge itself answered, by reason.',
    labelNames: ['reason'],
    registers,
    collect() {
      this.reset();
      for (const [reason, count] of refusals) this.inc({ reason }, count);
    },
  });
  new Gauge({
    name: 'banyan_breaker_state',
    aggregator: 'max',
    help: 'Circuit breakers by path and route: 0 closed, 1 half-open, 2 open.',
    labelNames: ['path', 'route'],
    registers,
    collect() {
      for (const { path, match, state } of sources.breakers())
        this.set({ path, route: match?.label ?? 'unclaimed' }, BREAKER_VALUES[state]);
    },
  });
  new Gauge({
    name: 'banyan_overload_level',
    aggregator: 'max',
    help: 'What is shed: 0 nothing, 1 shadow copies, 2 low priority too, 3 normal priority too.',
    registers,
    collect() {
      this.set(sources.overload());
    },
  });
  new Gauge({
    name: 'banyan_state_version',
    aggregator: 'max',
    help: 'Version of the state that this replica works with.',
    labelNames: ['capability'],
    registers,
    collect() {
      for (const state of sources.states().values())
        this.set({ capability: state.capability }, state.version);
    },
  });
  new Gauge({
    name: 'banyan_heartbeat_age_seconds',
    aggregator: 'max',
    help: 'Since this replica was last heard by the control database.',
    registers,
    collect() {
      const ageMs = sources.heartbeatAgeMs();
      if (ageMs !== undefined) this.set(ageMs / 1_000);
    },
  });
  const held = new Histogram({
    name: 'banyan_held_seconds',
    help: 'How long writes have waited for the end of a switch.',
    buckets: HELD_BUCKETS_S,
    registers,
  });
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

  const finished = ({ match, path, status, ms, retries, fellBack, why }: Ended): void => {
    countRequest(match, path, status, ms);
    totals.retries += retries;
    if (fellBack) totals.fallbacks += 1;
    if (why !== undefined) refusals.set(why, (refusals.get(why) ?? 0) + 1);
  };
  return {
    registry,
    finished,
    refused: (status, ms) => {
      finished({ ...UNFORWARDED, match: undefined, path: 'none', status, ms, why: 'ambiguous' });
    },
    held: (ms) => {
      held.observe(ms / 1_000);
    },
  };
}
