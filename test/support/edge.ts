// An edge behind a real port, without a control database: the test sets the states.
import { createServer } from 'node:http';
import { defineMigration } from '../../control/define.ts';
import type { MigrationInput } from '../../control/definition.ts';
import { initialState, type CapabilityState } from '../../control/domain/state.ts';
import { createEdge, type Edge } from '../../facade/edge.ts';
import { compileRoutes } from '../../facade/domain/routes.ts';
import { Holds } from '../../facade/holds.ts';
import { createMetrics, type Metrics } from '../../facade/metrics.ts';
import type { Shadow } from '../../facade/shadow.ts';
import { openUpstreams } from '../../facade/upstreams.ts';
import { serve, type TestServer } from './http.ts';

export interface TestEdge extends TestServer {
  readonly edge: Edge;
  readonly holds: Holds;
  readonly metrics: Metrics;
  /** `capability version` of every acknowledgement. */
  readonly quiet: string[];
  /** Changes the state of `catalog`, raising its version. */
  set(change: Partial<CapabilityState>): void;
}

export interface TestEdgeOptions {
  readonly monolith: string;
  readonly service?: string;
  readonly facade?: MigrationInput['facade'];
  readonly canary?: MigrationInput['capabilities'][string]['canary'];
  readonly shadow?: Shadow;
  /** Gives the capability a table. */
  readonly tables?: boolean;
  /** Of `catalog`, instead of `/api/products` and `/api/products/:id`. */
  readonly routes?: MigrationInput['capabilities'][string]['routes'];
  readonly leaseValid?: () => boolean;
}

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
        ...(options.tables ? { tables: [{ monolith: 'p', service: 'p', key: { id: 'id' } }] } : {}),
        ...(options.canary ? { canary: options.canary } : {}),
      },
    },
    ...(options.facade ? { facade: options.facade } : {}),
  });
  const upstreams = openUpstreams(
    { monolith: options.monolith, services: { catalog: service } },
    migration.facade.timeoutMs,
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
  });
  const edge = createEdge({
    routes: compileRoutes(migration.capabilities),
    upstreams,
    timeoutMs: migration.facade.timeoutMs,
    drainMs: migration.facade.upgrades.drainMs,
    holds,
    shadow: options.shadow ?? NO_SHADOW,
    metrics,
    trouble: () => undefined,
    leaseValid: options.leaseValid ?? (() => true),
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
    metrics,
    quiet,
    set,
    close: async () => {
      await served.close();
      await upstreams.close();
    },
  };
}
