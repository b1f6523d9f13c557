// What one replica tells of itself, on its admin port or to the process that leads the workers.
import type { MetricObjectWithValues, MetricValue, Registry } from 'prom-client';
import type { CapabilityState } from '../control/domain/state.ts';
import type { AdminView } from './admin.ts';
import type { HoldFigures } from './holds.ts';

/** A replica's metrics as prom-client hands them on. */
export type Figures = MetricObjectWithValues<MetricValue<string>>[];

export interface ReplicaSources {
  readonly replicaId: string;
  readonly stage: () => 'starting' | 'ready' | 'ending';
  readonly states: () => ReadonlyMap<string, CapabilityState>;
  readonly holds: (capability: string) => HoldFigures;
  readonly tunnels: (capability: string | undefined) => number;
  readonly inFlight: () => number;
  readonly heartbeatAgeMs: () => number | undefined;
  readonly registry: Registry;
}

export interface ReplicaView extends AdminView {
  readonly replicaId: string;
  figures(): Promise<Figures>;
}

export function replicaView(sources: ReplicaSources): ReplicaView {
  const { replicaId, stage, registry } = sources;
  const missing = (): string[] => {
    if (stage() === 'ready') return [];
    if (stage() === 'ending') return ['it ends'];
    if (sources.heartbeatAgeMs() === undefined)
      return ['the replica is not registered in the control database'];
    if (sources.states().size === 0) return ['the states of the capabilities are not known'];
    return ['the data port does not listen'];
  };
  return {
    replicaId,
    readiness: () => ({ ready: stage() === 'ready', missing: missing() }),
    state: () =>
      Promise.resolve({
        replica: replicaId,
        ready: stage() === 'ready',
        heartbeatAgeMs: sources.heartbeatAgeMs() ?? null,
        inFlight: sources.inFlight(),
        unclaimedTunnels: sources.tunnels(undefined),
        capabilities: [...sources.states().values()].map((state) => ({
          ...state,
          writes: sources.holds(state.capability),
          tunnels: sources.tunnels(state.capability),
        })),
      }),
    metrics: async () => ({ type: registry.contentType, text: await registry.metrics() }),
    figures: () => registry.getMetricsAsJSON(),
  };
}
