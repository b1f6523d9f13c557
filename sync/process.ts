// `banyan sync`: runs the flows that the phases of all capabilities ask for, starts one again when
// its connection broke, reports one that stopped. Flows are independent: one that fails holds up no
// other.
import { BanyanError, isBanyanError, messageOf } from '../core/errors.ts';
import { aborted, sleep, type Part } from '../core/lifecycle.ts';
import { isConnectionError } from '../core/postgres/connect.ts';
import { kafkaClient } from '../core/kafka/connect.ts';
import type { KafkaClient } from '../core/kafka/client.ts';
import type { Logger } from '../core/log.ts';
import type { Connections } from '../control/connections.ts';
import type { Capability, Migration } from '../control/definition.ts';
import { flowNames } from '../control/domain/names.ts';
import { flowsOf } from '../control/domain/phase.ts';
import { mappedTables } from '../control/grants.ts';
import type { CapabilityState } from '../control/domain/state.ts';
import type { Direction } from '../control/domain/flow.ts';
import { Evidence } from '../control/evidence.ts';
import type { FlowReport, FlowStatus } from '../control/flow-reports.ts';
import { pausedFlows } from '../control/pauses.ts';
import { openControl, StateStore } from '../control/store.ts';
import { watchStates } from '../control/watch.ts';
import type { ChangeLog } from './change-log.ts';
import { runFlow, type FlowOptions } from './flow.ts';
import { watchRetainedWal } from './retained-wal.ts';
import { isTransient } from './refusal.ts';

export interface SyncOptions {
  readonly migration: Migration;
  readonly connections: Connections;
  readonly controlUrl: string;
  readonly log: Logger;
  /** Stands between every slot and its applier; for fault injection. */
  readonly wrapLog?: (log: ChangeLog) => ChangeLog;
  readonly chunkRows?: number;
  /** How time passes in a flow; by the clock where left out. */
  readonly pause?: FlowOptions['pause'];
}

interface Flows {
  /** By `capability:direction`. */
  readonly running: Map<string, Running>;
  readonly watches: Map<string, Stoppable>;
  /** Capabilities whose copy a human has paused; the flows look here. */
  readonly pausedCopies: Set<string>;
}

interface Stoppable {
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

interface Running extends Stoppable {
  /** Of the state that it last heard of. */
  version: number;
  /** Has a flow that failed try again at once. */
  readonly nudge: () => void;
}

const BACKOFF_MS = [250, 500, 1_000, 2_000, 5_000];

/** The sync layer as a part of a process. Ready once it has looked at the states for the first time. */
export function syncPart(options: SyncOptions): Part {
  return {
    name: 'sync',
    run: async (signal, ready) => {
      const db = openControl(options.controlUrl);
      const evidence = new Evidence(db);
      const flows: Flows = { running: new Map(), watches: new Map(), pausedCopies: new Set() };
      const capabilities = Object.keys(options.migration.capabilities);
      try {
        await watchStates(
          {
            url: options.controlUrl,
            store: new StateStore(db),
            capabilities,
            log: options.log,
            onChange: async (states) => {
              await adjust(options, evidence, flows, states, await pausedFlows(db));
              ready();
            },
          },
          signal,
        );
      } finally {
        await Promise.all([...flows.running.values(), ...flows.watches.values()].map(stopped));
        await db.destroy();
      }
    },
  };
}

/** Starts the flows that are wanted and stops those that are not. The source is watched while a flow is paused, too. */
async function adjust(
  options: SyncOptions,
  evidence: Evidence,
  { running: flows, watches, pausedCopies }: Flows,
  states: ReadonlyMap<string, CapabilityState>,
  paused: Awaited<ReturnType<typeof pausedFlows>>,
): Promise<void> {
  pausedCopies.clear();
  for (const id of paused.copy) pausedCopies.add(id);
  for (const [id, state] of states) {
    const capability = options.migration.capabilities[id];
    if (!capability) continue;
    const wanted = flowsOf(state.phase, {
      hasTables: capability.tables.length > 0,
      leaves: capability.leaves,
    });
    for (const direction of ['to', 'back'] as const) {
      const key = `${id}:${direction}`;
      const running = flows.get(key);
      const runs = wanted[direction] && !paused.flows.has(id);
      const flowOf = { id, capability, direction, copyPaused: () => pausedCopies.has(id) };
      if (runs && !running) flows.set(key, startFlow(options, evidence, flowOf, state.version));
      // Somebody has just decided something: one that stopped is not to wait any longer.
      if (runs && running && running.version !== state.version) {
        running.version = state.version;
        running.nudge();
      }
      if (!runs && running) {
        flows.delete(key);
        await stopped(running);
      }
      const watch = watches.get(key);
      if (wanted[direction] && !watch)
        watches.set(key, startWatch(options, evidence, id, capability, direction));
      if (!wanted[direction] && watch) {
        watches.delete(key);
        await stopped(watch);
      }
      if (wanted[direction] && !runs) await evidence.reportFlow(idle(id, direction, 'paused'));
    }
  }
}

function startFlow(
  options: SyncOptions,
  evidence: Evidence,
  flowOf: FlowOf,
  version: number,
): Running {
  const stop = new AbortController();
  const { signal } = stop;
  let wake = new AbortController();
  const wait = async (ms: number | undefined): Promise<void> => {
    wake = new AbortController();
    const woken = AbortSignal.any([signal, wake.signal]);
    await (ms === undefined ? aborted(woken) : sleep(ms, woken));
  };
  return {
    ...{ stop, version },
    ended: keepRunning({ options, evidence, flowOf, wait }, signal),
    nudge: () => {
      wake.abort();
    },
  };
}

function startWatch(
  options: SyncOptions,
  evidence: Evidence,
  id: string,
  capability: Capability,
  direction: Direction,
): Stoppable {
  const { connections, migration, log } = options;
  const side = { to: connections.monolith, back: connections.services[capability.service] };
  const url = side[direction]?.database?.capture;
  const stop = new AbortController();
  if (url === undefined) return { stop, ended: Promise.resolve() };
  const { walAlarmBytes: alarmBytes } = migration.sync;
  const ended = watchRetainedWal(
    {
      ...{ reader: 'flow', which: { capability: id, direction }, url, alarmBytes, log },
      slotIn: (source) =>
        direction === 'to' && capability.source
          ? capability.source.debezium.slot
          : flowNames(id, direction, { source, target: '' }).slot,
      report: (retained) => evidence.reportRetained(id, direction, retained),
    },
    stop.signal,
  );
  return { stop, ended };
}

async function stopped({ stop, ended }: Stoppable): Promise<void> {
  stop.abort();
  await ended;
}

interface Kept {
  readonly options: SyncOptions;
  readonly evidence: Evidence;
  readonly flowOf: FlowOf;
  /** Waits so long, or until somebody decides something; without a time until then. */
  readonly wait: (ms: number | undefined) => Promise<void>;
}

type FlowOf = Pick<FlowOptions, 'id' | 'capability' | 'direction' | 'copyPaused'>;

async function keepRunning(
  { options, evidence, flowOf, wait }: Kept,
  signal: AbortSignal,
): Promise<void> {
  const { id, capability, direction } = flowOf;
  const { monolith, services } = options.connections;
  const kafka = options.connections.kafka && kafkaClient(options.connections.kafka, options.log);
  const service = services[capability.service];
  const log = options.log;
  for (let failures = 0; !signal.aborted;) {
    const run = { begun: false };
    try {
      if (!monolith.database || !service?.database)
        throw new BanyanError(
          'CONFIG_INVALID',
          `capability "${id}" has tables and no database connections`,
        );
      const flow: FlowOptions = {
        ...flowOf,
        monolith: monolith.database,
        service: service.database,
        evidence,
        log,
        ...broughtBy(options, kafka, capability, direction),
        silenceMs: options.migration.sync.silenceMs,
        onRunning: () => {
          run.begun = true;
        },
        copyTables: options.migration.sync.copyTables,
        copyRowsPerSecond: options.migration.sync.copyRowsPerSecond,
        ...(options.wrapLog && { wrapLog: options.wrapLog }),
        ...(options.pause && { pause: options.pause }),
        ...(options.chunkRows !== undefined && { chunkRows: options.chunkRows }),
      };
      log.info('flow started', { capability: id, direction });
      await runFlow(flow, signal);
      log.info('flow ended', { capability: id, direction });
    } catch (error) {
      // One that ran and lost a server begins anew; one that stops at the same change again does not.
      if (run.begun && isOutage(error)) failures = 0;
      log.error('flow failed', {
        capability: id,
        direction,
        code: codeOf(error),
        error: messageOf(error),
      });
      await reportFailure(evidence, id, direction, error).catch(() => undefined);
      // A lost slot, or topic, is nothing that waiting could mend: the stream has a hole.
      await wait(
        isBanyanError(error, 'SLOT_LOST') || isBanyanError(error, 'KAFKA_LOG_LOST')
          ? undefined
          : BACKOFF_MS[Math.min(failures++, BACKOFF_MS.length - 1)],
      );
    }
  }
}

/** Where changes come over Kafka: the topics of the flow's source. */
function broughtBy(
  { migration }: SyncOptions,
  kafka: KafkaClient | undefined,
  { service, source: from }: Capability,
  direction: Direction,
): Pick<FlowOptions, 'relayed' | 'connected'> {
  if (migration.changeLog === 'direct' || !kafka) return {};
  const settings = migration.changeLog.kafka;
  if (direction === 'to' && from)
    return { connected: { kafka, settings: from.debezium, group: settings.prefix } };
  const [source, side] =
    direction === 'to' ? (['monolith', 'monolith'] as const) : ([service, 'service'] as const);
  // Rows of its outbox stand in the log as well.
  const outboxes = (settings.outbox[source] ?? []).map(({ table }) => table);
  const known = [...mappedTables(migration, side, service), ...outboxes];
  return { relayed: { kafka, settings, source, known } };
}

async function reportFailure(
  evidence: Evidence,
  capability: string,
  direction: Direction,
  error: unknown,
): Promise<void> {
  const retrying =
    isOutage(error) || isTransient(error) || isBanyanError(error, 'APPLIER_REPLACED');
  await evidence.reportFlow({
    ...idle(capability, direction, retrying ? 'retrying' : 'stopped'),
    errorCode: codeOf(error),
    error:
      isBanyanError(error) && error.hint ? `${error.message}. ${error.hint}` : messageOf(error),
  });
}

/** A server that does not answer may do so soon, and a relay that has just been started makes its topic. */
function isOutage(error: unknown): boolean {
  return (
    isConnectionError(error) ||
    isBanyanError(error, 'KAFKA_UNREACHABLE') ||
    isBanyanError(error, 'KAFKA_NO_TOPIC')
  );
}

/** The report of a flow that does not run. */
function idle(capability: string, direction: Direction, status: FlowStatus): FlowReport {
  return {
    ...{ capability, direction, status },
    errorCode: null,
    error: null,
    position: null,
    watermark: null,
    lagP50Ms: null,
    lagP99Ms: null,
    applied: 0,
    backfill: null,
    parked: null,
  };
}

function codeOf(error: unknown): string {
  if (error instanceof BanyanError) return error.code;
  return isConnectionError(error) ? 'DATABASE_UNREACHABLE' : 'INTERNAL';
}
