// An edge behind a real port, without a control database: the test sets the states.
import { createSecretKey } from 'node:crypto';
import { createServer } from 'node:http';
import { defineMigration } from '../../control/define.ts';
import type { MigrationInput } from '../../control/definition.ts';
import { initialState, type CapabilityState } from '../../control/domain/state.ts';
import type { AccessLog } from '../../facade/access-log.ts';
import { createEdge, type Edge, type EdgeOptions } from '../../facade/edge.ts';
import { compileRoutes, type Priority } from '../../facade/domain/routes.ts';
import { Calls } from '../../facade/calls.ts';
import { createCohortKeys } from '../../facade/cohort-keys.ts';
import { createForwarder } from '../../facade/forward.ts';
import type { Freshness } from '../../facade/freshness.ts';
import { Guards } from '../../facade/guards.ts';
import { Holds } from '../../facade/holds.ts';
import { createMetrics, type Metrics } from '../../facade/metrics.ts';
import { createOwnWrites } from '../../facade/own-writes.ts';
import type { Shadow } from '../../facade/shadow.ts';
import type { Tracing } from '../../facade/tracing.ts';
import type { Trust } from '../../facade/trust.ts';
import { createTunnels } from '../../facade/tunnels.ts';
import { Pool } from '../../facade/pool.ts';
import { HEAD_BYTES, openUpstreams } from '../../facade/upstreams.ts';
import { createWitness } from '../../facade/witness.ts';
import { serve, type TestServer } from './http.ts';

export interface TestEdge extends TestServer {
  readonly edge: Edge;
  readonly holds: Holds;
  readonly guards: Guards;
  readonly metrics: Metrics;
  /** `capability version` of every acknowledgement. */
  readonly quiet: string[];
  /** What went wrong at an upstream, attempt by attempt. */
  readonly troubles: string[];
  /** Changes the state of `catalog`, raising its version. */
  set(change: Partial<CapabilityState>): void;
}

export interface TestEdgeOptions {
  readonly monolith: string;
  readonly service?: string;
  readonly facade?: MigrationInput['facade'];
  readonly canary?: MigrationInput['capabilities'][string]['canary'];
  readonly routes?: MigrationInput['capabilities'][string]['routes'];
  readonly fallback?: boolean;
  readonly shadow?: Shadow;
  /** Gives the capability a table. */
  readonly tables?: boolean;
  readonly leaseValid?: () => boolean;
  readonly freshness?: Pick<Freshness, 'now' | 'watermark'>;
  readonly accessLog?: AccessLog;
  readonly tracing?: Tracing;
  readonly isBusy?: EdgeOptions['isBusy'];
  readonly replicaId?: string;
  readonly sheds?: (priority: Priority) => boolean;
  readonly trusts?: Trust | undefined;
  readonly onHearsay?: (address: string) => void;
}

/** Signs calls, cohorts and notes of writes. */
export const KEY = createSecretKey(Buffer.alloc(32, 'key'));

const NO_SHADOW: Shadow = { begin: () => undefined, close: () => Promise.resolve() };

/** Serves one capability `catalog` with `/api/products/**`; everything else is unclaimed. */
export async function serveEdge(options: TestEdgeOptions): Promise<TestEdge> {
  const service = options.service ?? options.monolith;
  const database = { capture: 'c', applier: 'a', coordinator: 'o' };
  const migration = defineMigration({
    monolith: { upstream: options.monolith, database },
    services: { catalog: { upstream: service, database } },
    capabilities: {
      catalog: {
        service: 'catalog',
        routes: options.routes ?? ['/api/products', '/api/products/:id'],
        ...(options.fallback === undefined ? {} : { fallback: options.fallback }),
        ...(options.tables ? { tables: [{ monolith: 'p', service: 'p', key: { id: 'id' } }] } : {}),
        ...(options.canary ? { canary: options.canary } : {}),
      },
    },
    facade: { unclaimed: { timeoutMs: options.facade?.timeoutMs ?? 60_000 }, ...options.facade },
  });
  const { connections } = migration.facade.bulkhead;
  const upstreams = openUpstreams(
    { monolith: options.monolith, services: { catalog: service } },
    (origin) => new Pool(origin, { ...migration.facade, connections, headBytes: HEAD_BYTES }),
  );
  const quiet: string[] = [];
  const holds = new Holds({
    ...migration.facade.hold,
    onQuiet: (capability, version) => quiet.push(`${capability} ${version}`),
  });
  const metrics = createMetrics({
    capabilities: ['catalog'],
    holds: (capability) => holds.figures(capability),
    inFlight: () => edge.inFlight(),
    breakers: () => guards.figures(),
    overload: () => 0,
    states: () => edge.states(),
    heartbeatAgeMs: () => 0,
  });
  const troubles: string[] = [];
  const guards = new Guards(migration.facade);
  const freshness = options.freshness ?? { now: () => undefined, watermark: () => undefined };
  const ownWrites = createOwnWrites(freshness, () => KEY);
  const calls = new Calls({
    replicaId: options.replicaId ?? 'replica',
    readKeys: () => Promise.resolve([{ id: '1', key: KEY, ageMs: 0 }]),
  });
  await calls.refresh();
  const cohorts = createCohortKeys(() => (options.canary?.writes ? KEY : undefined));
  const trouble = (_path: unknown, error: Error): void => {
    troubles.push(error.message);
  };
  const witness = createWitness(metrics, options.accessLog);
  const overload = { sheds: options.sheds ?? (() => false) };
  const leaseValid = options.leaseValid ?? (() => true);
  const routes = compileRoutes(migration.capabilities);
  const tunnels = createTunnels({
    routes,
    states: () => edge.states(),
    unclaimedMs: migration.facade.unclaimed.timeoutMs,
    upstreams,
    timeoutMs: migration.facade.timeoutMs,
    drainMs: migration.facade.upgrades.drainMs,
    holds,
    ownWrites,
    cohorts,
    overload,
    witness,
    refused: metrics.refused,
    trouble,
    leaseValid,
    trusts: options.trusts,
    ...(options.onHearsay && { onHearsay: options.onHearsay }),
  });
  const edge = createEdge({
    routes,
    tunnels,
    forwarder: createForwarder({
      upstreams,
      guards,
      settings: migration.facade,
      ownWrites,
      cohorts,
      freshness,
      trouble,
      stateOf: (capability) => edge.states().get(capability),
    }),
    holds,
    shadow: options.shadow ?? NO_SHADOW,
    ownWrites,
    cohorts,
    calls,
    isBusy: options.isBusy ?? (() => Promise.resolve(false)),
    timeoutMs: migration.facade.timeoutMs,
    drainMs: migration.facade.upgrades.drainMs,
    overload,
    witness,
    refused: metrics.refused,
    held: (ms) => {
      metrics.held(ms);
    },
    tracing: options.tracing,
    leaseValid,
    trusts: options.trusts,
    ...(options.onHearsay && { onHearsay: options.onHearsay }),
  });
  let state = initialState('catalog');
  const set = (change: Partial<CapabilityState>): void => {
    state = { ...state, ...change, version: state.version + 1 };
    edge.apply(new Map([['catalog', state]]));
  };
  set({});
  const server = createServer();
  server.on('checkContinue', (req, res) => {
    edge.handle(req, res);
  });
  server.on('upgrade', (req, socket, head) => {
    edge.upgrade(req, socket, head);
  });
  const served = await serve((req, res) => {
    edge.handle(req, res);
  }, server);
  return {
    ...served,
    edge,
    holds,
    guards,
    metrics,
    quiet,
    troubles,
    set,
    close: async () => {
      await served.close();
      await upstreams.close();
    },
  };
}
