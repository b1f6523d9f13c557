// One flow that is kept running: started again when its connection broke, reported when it stopped, and
// started again then too, later each time.
import { BanyanError, isBanyanError, messageOf } from '../core/errors.ts';
import { isConnectionError } from '../core/postgres/connect.ts';
import { kafkaClient } from '../core/kafka/connect.ts';
import type { KafkaClient } from '../core/kafka/client.ts';
import type { Logger } from '../core/log.ts';
import type { Connections, Logins } from '../control/connections.ts';
import type { Capability, Migration } from '../control/definition.ts';
import { keepUpToDate } from '../control/entry.ts';
import { mappedTables } from '../control/grants.ts';
import type { Direction } from '../control/domain/flow.ts';
import type { Evidence } from '../control/evidence.ts';
import type { FlowReport, FlowStatus } from '../control/flow-reports.ts';
import type { Attempts } from './attempts.ts';
import type { ChangeLog } from './change-log.ts';
import { runFlow } from './flow.ts';
import type { FlowOptions } from './flow-options.ts';
import { LiveReferences } from './references.ts';
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

export interface Kept {
  readonly options: SyncOptions;
  readonly evidence: Evidence;
  readonly flowOf: FlowOf;
  readonly attempts: Attempts;
}

/** A flow that runs reports itself several times in that time. */
const REPORTED_MS = 2_000;

/** Which flow of which capability. */
export type FlowOf = Pick<FlowOptions, 'id' | 'capability' | 'direction' | 'copyPaused'>;

/** Runs the flow until the signal aborts, whatever becomes of it meanwhile. */
export async function keepRunning(
  { options, evidence, flowOf, attempts }: Kept,
  signal: AbortSignal,
): Promise<void> {
  const { id, capability, direction } = flowOf;
  const { monolith, services } = options.connections;
  const kafka = options.connections.kafka && kafkaClient(options.connections.kafka, options.log);
  const service = services[capability.service];
  const log = options.log;
  const isOver = (): boolean => signal.aborted;
  let upToDate = false;
  const references = new LiveReferences(capability);
  while (!isOver()) {
    const run = { begun: false };
    try {
      if (!monolith.database || !service?.database)
        throw new BanyanError(
          'CONFIG_INVALID',
          `capability "${id}" has tables and no database connections`,
        );
      upToDate ||= await broughtUpToDate([monolith.database, service.database], flowOf, log);
      if (isOver()) return;
      const flow: FlowOptions = {
        ...flowOf,
        references,
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
      // Whoever has told it to stop says what has become of it.
      if (isOver()) return;
      // One that ran and lost a server begins anew; one that stops at the same change again does not.
      if (run.begun && isOutage(error)) attempts.forgive();
      const failure = { capability: id, direction, code: codeOf(error), error: messageOf(error) };
      if (isBanyanError(error, 'APPLIER_REPLACED') && (await isReported(evidence, flowOf))) {
        log.info('flow runs elsewhere: standing by', failure);
      } else {
        log.error('flow failed', failure);
        await reportFailure(evidence, id, direction, error).catch(() => undefined);
      }
      await attempts.afterFailure(error);
    }
  }
}

/**
 * A flow may go on where an older version has stopped. One that finds an old schema fails by itself, and with a
 * clearer error than that the coordinator cannot log in for a moment.
 */
async function broughtUpToDate(
  sides: readonly Logins[],
  { id, direction }: FlowOf,
  log: Logger,
): Promise<boolean> {
  try {
    for (const logins of sides) await keepUpToDate(logins, id);
    return true;
  } catch (error) {
    log.warn('the schema banyan could not be brought up to date', {
      ...{ capability: id, direction, error: messageOf(error) },
    });
    return false;
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

/** Whether somebody else runs the flow and tells of it, which must not be overwritten by our failure. */
async function isReported(evidence: Evidence, { id, direction }: FlowOf): Promise<boolean> {
  const lines = await evidence.flows(id).catch(() => []);
  const line = lines.find((one) => one.direction === direction);
  return line?.error === null && line.reportAgeMs < REPORTED_MS;
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
export function idle(capability: string, direction: Direction, status: FlowStatus): FlowReport {
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
