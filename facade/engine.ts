// The facade without its ports: routes compiled, pools opened, replica registered, shadow and
// metrics wired to the edge. The standalone server and the middleware are both thin shells round it.
import { randomUUID } from 'node:crypto';
import type { Tracer } from '@opentelemetry/api';
import type { Express } from 'express';
import type { Knex } from 'knex';
import type { Migration } from '../control/definition.ts';
import type { CapabilityState } from '../control/domain/state.ts';
import { Evidence } from '../control/evidence.ts';
import { readCallKeys } from '../control/call-keys.ts';
import { addHeld } from '../control/held-writes.ts';
import { readSigningKey } from '../control/signing-key.ts';
import { openControl } from '../control/store.ts';
import { BanyanError } from '../core/errors.ts';
import { aborted, sleep } from '../core/lifecycle.ts';
import { createLogger, type Logger } from '../core/log.ts';
import { createAccessLog, type AccessLog } from './access-log.ts';
import { adminApp } from './admin.ts';
import { AnswerTally } from './answer-tally.ts';
import { Calls } from './calls.ts';
import { createCohortKeys } from './cohort-keys.ts';
import { compileRoutes } from './domain/routes.ts';
import { hasTwoSides } from './domain/fallback.ts';
import { createEdge, type Edge } from './edge.ts';
import { createForwarder } from './forward.ts';
import { createFreshness } from './freshness.ts';
import { Guards } from './guards.ts';
import { HeldTally } from './held-tally.ts';
import { Holds } from './holds.ts';
import { Keys } from './keys.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { watchOverload } from './overload.ts';
import { createOwnWrites } from './own-writes.ts';
import { Pool } from './pool.ts';
import { createReplica } from './replica.ts';
import { registerShadowMetrics } from './shadow-metrics.ts';
import { replicaView, type ReplicaView } from './replica-view.ts';
import { createShadow } from './shadow.ts';
import { createSyncClock } from './sync-clock.ts';
import { Tally } from './tally.ts';
import { createTracing } from './tracing.ts';
import { troubleLog } from './trouble.ts';
import { createTrust, warnOfHearsay } from './trust.ts';
import { createTunnels } from './tunnels.ts';
import { tunnelGauge } from './tunnel-gauge.ts';
import { HEAD_BYTES, openUpstreams, type UpstreamUrls } from './upstreams.ts';
import { createWitness } from './witness.ts';

export interface EngineOptions {
  readonly migration: Migration;
  /** With environment references resolved. */
  readonly upstreams: UpstreamUrls;
  /** URL of the control database. */
  readonly controlUrl: string;
  readonly log: Logger;
  /** Makes spans; none without one. */
  readonly tracer?: Tracer | undefined;
  /** Takes the lines of the access log; standard error when left out. */
  readonly accessLog?: Pick<Logger, 'info'>;
  /** Name of this replica; random when left out. */
  readonly replicaId?: string;
}

export interface Engine {
  readonly edge: Edge;
  readonly view: ReplicaView;
  readonly admin: Express;
  readonly metrics: Metrics;
  /** Registers, and resolves when the states were read for the first time (or `signal` aborts). */
  start(signal: AbortSignal): Promise<void>;
  /** Rejects when the engine cannot go on. */
  readonly failed: Promise<never>;
  setReady(): void;
  /** Is not ready any more, and tells connections to end: after a delay, where whoever sends traffic is to see it first. */
  announceEnd(delayed: boolean): Promise<void>;
  /** How long answers under way may take from then on. */
  readonly drainMs: number;
  /** Counts out the shadow copies, leaves, closes pools and connections. */
  stop(): Promise<void>;
}

const FLUSH_MS = 250;
/** What a flow may take until a comparison is given up, where gates ask for less. */
const SYNC_MS = 5_000;
/** Shadow figures go out at every so manieth turn: each time is a transaction. */
const TURNS_PER_TALLY = 4;

/** Wires a facade; does no I/O before `start`. Throws CONFIG_INVALID for routes that cannot be told apart. */
export function createEngine(options: EngineOptions): Engine {
  const { migration, log } = options;
  for (const { service } of Object.values(migration.capabilities))
    if (options.upstreams.services[service] === undefined)
      throw new BanyanError('CONFIG_INVALID', `no upstream is given for service "${service}"`);
  const { bulkhead, shedding } = migration.facade;
  const capabilities = Object.keys(migration.capabilities);
  const replicaId = options.replicaId ?? randomUUID();
  const routes = compileRoutes(migration.capabilities);
  const control: Knex = openControl(options.controlUrl);
  const evidence = new Evidence(control);
  const { connections } = bulkhead;
  const pooling = { ...migration.facade, connections, headBytes: HEAD_BYTES };
  const upstreams = openUpstreams(options.upstreams, (origin) => new Pool(origin, pooling));
  const ending = new AbortController();
  const firstStates = Promise.withResolvers<undefined>();
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined);
  let stage: 'starting' | 'ready' | 'ending' = 'starting';
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
  const heldWrites = new HeldTally({ store: (held) => addHeld(control, held), log });
  const holds = new Holds({
    ...migration.facade.hold,
    onLeft: (capability, held) => {
      heldWrites.add({ capability, replicaId, ...held });
    },
    onQuiet: (capability, version) => {
      replica.acknowledge(capability, version);
    },
  });
  const metrics = createMetrics({
    capabilities,
    holds: (capability) => holds.figures(capability),
    inFlight: () => edge.inFlight(),
    breakers: () => guards.figures(),
    overload: () => overload.level(),
    states: () => edge.states(),
    heartbeatAgeMs: () => replica.heartbeatAgeMs(),
  });
  const tally = new Tally({ evidence, log });
  registerShadowMetrics(metrics.registry, () => tally.totals());
  const shadow = createShadow({
    migration,
    upstreams: options.upstreams,
    tally,
    clock: createSyncClock({
      evidence,
      signal: ending.signal,
      // A flow that is good enough for the gates may be waited for.
      timeoutMs: (capability) =>
        Math.max(SYNC_MS, migration.capabilities[capability]?.gates.lagMs ?? 0),
    }),
    log,
    version: (capability) => {
      const state = edge.states().get(capability);
      return state?.phase === 'shadow' ? state.version : undefined;
    },
    isOverloaded: () => overload.level() > 0,
  });
  const freshness = createFreshness({
    evidence,
    isWanted: () => [...edge.states().values()].some(({ phase }) => hasTwoSides(phase)),
  });
  const calls = new Calls({ replicaId, readKeys: () => readCallKeys(control) });
  const keys = new Keys({ calls, readSigningKey: () => readSigningKey(control) });
  const ownWrites = createOwnWrites(freshness, () => keys.signing);
  const isSigning = [...routes.policies.values()].some(({ writes }) => writes);
  const cohorts = createCohortKeys(() => (isSigning ? keys.signing : undefined));
  const guards = new Guards(migration.facade);
  const overload = watchOverload(shedding === false ? undefined : shedding.delayMs, log);
  const stateOf = (capability: string): CapabilityState | undefined =>
    edge.states().get(capability);
  const answers = new AnswerTally({ evidence, stateOf, log });
  const witness = createWitness(metrics, accessLogOf(options), answers);
  const trouble = troubleLog(log);
  const trusts = createTrust(migration.facade.trustedProxies);
  const onHearsay = warnOfHearsay(options.log);
  const tunnels = createTunnels({
    routes,
    states: () => edge.states(),
    upstreams,
    timeoutMs: migration.facade.timeoutMs,
    unclaimedMs: migration.facade.unclaimed.timeoutMs,
    drainMs: migration.facade.upgrades.drainMs,
    holds,
    ownWrites,
    cohorts,
    overload,
    witness,
    refused: metrics.refused,
    trouble,
    leaseValid: () => replica.leaseValid(),
    trusts,
    onHearsay,
  });
  const edge = createEdge({
    routes,
    forwarder: createForwarder({
      upstreams,
      guards,
      settings: migration.facade,
      ownWrites,
      cohorts,
      freshness,
      trouble,
      stateOf,
    }),
    tunnels,
    holds,
    shadow,
    ownWrites,
    cohorts,
    calls,
    isBusy: (capability, version, other) => replica.withdraw(capability, version, other),
    timeoutMs: migration.facade.timeoutMs,
    drainMs: migration.facade.upgrades.drainMs,
    overload,
    witness,
    refused: metrics.refused,
    held: (ms) => {
      metrics.held(ms);
    },
    tracing: options.tracer && createTracing(options.tracer),
    leaseValid: () => replica.leaseValid(),
    trusts,
    onHearsay,
  });
  tunnelGauge(metrics.registry, capabilities, (capability) => edge.tunnels(capability));
  const view = replicaView({
    replicaId,
    stage: () => stage,
    states: () => edge.states(),
    holds: (capability) => holds.figures(capability),
    tunnels: (capability) => edge.tunnels(capability),
    inFlight: () => edge.inFlight(),
    heartbeatAgeMs: () => replica.heartbeatAgeMs(),
    registry: metrics.registry,
  });

  const keepFlushing = async (): Promise<void> => {
    for (let turn = 1; !ending.signal.aborted; turn++) {
      await sleep(FLUSH_MS, ending.signal);
      if (turn % TURNS_PER_TALLY === 0) await tally.flush();
      await answers.flush();
      await heldWrites.flush();
    }
  };

  return {
    edge,
    view,
    admin: adminApp(view),
    metrics,
    failed: failure.promise,
    start: async (signal) => {
      running = Promise.all([
        replica.run(ending.signal),
        keepFlushing(),
        freshness.run(ending.signal),
        keys.keep(ending.signal),
      ]).then(() => undefined);
      running.catch((error: unknown) => {
        failure.reject(error);
      });
      // And what time it is: the answer to the first write says when that was.
      const known = Promise.all([firstStates.promise, keys.read(ending.signal), freshness.known]);
      await Promise.race([known, aborted(signal), failure.promise]);
    },
    setReady: () => {
      stage = 'ready';
    },
    announceEnd: async (delayed) => {
      stage = 'ending';
      if (delayed) await sleep(migration.facade.drain.delayMs);
      edge.drain();
    },
    drainMs: migration.facade.drain.timeoutMs,
    stop: async () => {
      ending.abort();
      overload.stop();
      await shadow.close();
      await tally.flush();
      await answers.flush(Infinity);
      await heldWrites.flush();
      await running.catch(() => undefined);
      await upstreams.close();
      await control.destroy();
    },
  };
}

function accessLogOf({ migration, accessLog }: EngineOptions): AccessLog | undefined {
  const settings = migration.facade.accessLog;
  if (settings === false) return undefined;
  return createAccessLog(accessLog ?? createLogger({ part: 'access' }), settings.sample);
}
