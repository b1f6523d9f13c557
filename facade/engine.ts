// The facade without its ports: routes compiled, pools opened, replica registered, shadow and
// metrics wired to the edge. The standalone server and the middleware are both thin shells round it.
import { randomUUID } from 'node:crypto';
import type { Express } from 'express';
import type { Knex } from 'knex';
import type { Migration } from '../control/definition.ts';
import { Evidence } from '../control/evidence.ts';
import { openControl } from '../control/store.ts';
import { BanyanError } from '../core/errors.ts';
import { aborted, sleep } from '../core/lifecycle.ts';
import type { Logger } from '../core/log.ts';
import { adminApp } from './admin.ts';
import { compileRoutes } from './domain/routes.ts';
import { createEdge, type Edge } from './edge.ts';
import { Holds } from './holds.ts';
import { createMetrics } from './metrics.ts';
import { createReplica } from './replica.ts';
import { registerShadowMetrics } from './shadow-metrics.ts';
import { createShadow } from './shadow.ts';
import { createSyncClock } from './sync-clock.ts';
import { Tally } from './tally.ts';
import { troubleLog } from './trouble.ts';
import { openUpstreams, type UpstreamUrls } from './upstreams.ts';

export interface EngineOptions {
  readonly migration: Migration;
  /** With environment references resolved. */
  readonly upstreams: UpstreamUrls;
  /** URL of the control database. */
  readonly controlUrl: string;
  readonly log: Logger;
  /** Name of this replica; random when left out. */
  readonly replicaId?: string;
}

export interface Engine {
  readonly edge: Edge;
  readonly admin: Express;
  /** Registers, and resolves when the states were read for the first time (or `signal` aborts). */
  start(signal: AbortSignal): Promise<void>;
  /** Rejects when the engine cannot go on. */
  readonly failed: Promise<never>;
  setReady(ready: boolean): void;
  /** Counts out the shadow copies, leaves, closes pools and connections. */
  stop(): Promise<void>;
}

const FLUSH_MS = 250;

/** Wires a facade; does no I/O before `start`. Throws CONFIG_INVALID for routes that cannot be told apart. */
export function createEngine(options: EngineOptions): Engine {
  const { migration, log } = options;
  for (const { service } of Object.values(migration.capabilities))
    if (options.upstreams.services[service] === undefined)
      throw new BanyanError('CONFIG_INVALID', `no upstream is given for service "${service}"`);
  const { timeoutMs } = migration.facade;
  const capabilities = Object.keys(migration.capabilities);
  const replicaId = options.replicaId ?? randomUUID();
  const routes = compileRoutes(migration.capabilities);
  const control: Knex = openControl(options.controlUrl);
  const evidence = new Evidence(control);
  const upstreams = openUpstreams(options.upstreams, timeoutMs);
  const ending = new AbortController();
  const firstStates = Promise.withResolvers<undefined>();
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined);
  let ready = false;
  let running: Promise<void> = Promise.resolve();

  const replica = createReplica({
    id: replicaId,
    control,
    controlUrl: options.controlUrl,
    capabilities,
    log,
    onStates: (states) => {
      edge.apply(states);
      firstStates.resolve(undefined);
    },
  });
  const holds = new Holds({
    ...migration.facade.hold,
    onQuiet: (capability, version) => {
      replica.acknowledge(capability, version);
    },
  });
  const metrics = createMetrics({
    capabilities,
    holds: (capability) => holds.figures(capability),
    inFlight: () => edge.inFlight(),
  });
  const tally = new Tally({ evidence, log });
  registerShadowMetrics(metrics.registry, () => tally.totals());
  const shadow = createShadow({
    migration,
    upstreams: options.upstreams,
    tally,
    clock: createSyncClock({ evidence, signal: ending.signal }),
    log,
    version: (capability) => {
      const state = edge.states().get(capability);
      return state?.phase === 'shadow' ? state.version : undefined;
    },
  });
  const edge = createEdge({
    routes,
    upstreams,
    timeoutMs,
    holds,
    shadow,
    metrics,
    trouble: troubleLog(log),
    leaseValid: () => replica.leaseValid(),
  });
  const admin = adminApp({
    replicaId,
    isReady: () => ready,
    states: () => edge.states(),
    holds: (capability) => holds.figures(capability),
    inFlight: () => edge.inFlight(),
    heartbeatAgeMs: () => replica.heartbeatAgeMs(),
    metrics,
  });

  const keepFlushing = async (): Promise<void> => {
    while (!ending.signal.aborted) {
      await sleep(FLUSH_MS, ending.signal);
      await tally.flush();
    }
  };

  return {
    edge,
    admin,
    failed: failure.promise,
    start: async (signal) => {
      running = Promise.all([replica.run(ending.signal), keepFlushing()]).then(() => undefined);
      running.catch((error: unknown) => {
        failure.reject(error);
      });
      await Promise.race([firstStates.promise, aborted(signal), failure.promise]);
    },
    setReady: (now) => {
      ready = now;
    },
    stop: async () => {
      ending.abort();
      await shadow.close();
      await tally.flush();
      await running.catch(() => undefined);
      await upstreams.close();
      await control.destroy();
    },
  };
}
