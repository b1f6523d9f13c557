// `banyan relay`: runs the relay of each source database from which a flow leads, starts it again when
// its source or Kafka was lost, reports it. Started twice, the second of each stands by (turn.ts).
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Knex } from 'knex';
import { isBanyanError, messageOf } from '../../core/errors.ts';
import { kafkaClient } from '../../core/kafka/connect.ts';
import type { Part } from '../../core/lifecycle.ts';
import { isConnectionError } from '../../core/postgres/connect.ts';
import type { Logger } from '../../core/log.ts';
import type { Connections } from '../../control/connections.ts';
import type { Migration } from '../../control/definition.ts';
import { relayNames } from '../../control/domain/names.ts';
import type { CapabilityState } from '../../control/domain/state.ts';
import {
  RelayReports,
  type RelayLine,
  type RelayProgress,
  type RelayReport,
} from '../../control/relay-reports.ts';
import { RelayTerms } from '../../control/relay-terms.ts';
import { openControl, StateStore } from '../../control/store.ts';
import { watchStates } from '../../control/watch.ts';
import { Attempts } from '../attempts.ts';
import { parsePosition } from '../domain/debezium/position.ts';
import { parseChain } from '../domain/footing.ts';
import { watchRetainedWal } from '../retained-wal.ts';
import { relaySources, type RelaySource } from './relay-sources.ts';
import { runRelay, type RelayOptions } from './relay.ts';
import { scribe } from './script.ts';

export interface RelayPartOptions {
  readonly migration: Migration;
  readonly connections: Connections;
  readonly controlUrl: string;
  readonly log: Logger;
}

interface Running {
  readonly stop: AbortController;
  readonly ended: Promise<unknown>;
  readonly attempts: Attempts;
}

/** After another one has taken over. */
const STEP_BACK_MS = 500;

/** The relays as a part of a process. Ready once it has looked at the states for the first time. */
export function relayPart(options: RelayPartOptions): Part {
  const holder = `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`;
  return {
    name: 'relay',
    run: async (signal, ready) => {
      const db = openControl(options.controlUrl);
      const running = new Map<string, Running>();
      try {
        await watchStates(
          {
            url: options.controlUrl,
            store: new StateStore(db),
            capabilities: Object.keys(options.migration.capabilities),
            log: options.log,
            onChange: async (states) => {
              await adjust(options, { db, holder, running }, states);
              ready();
            },
          },
          signal,
        );
      } finally {
        await Promise.all([...running.values()].map(stopped));
        await db.destroy();
      }
    },
  };
}

interface Here {
  readonly db: Knex;
  readonly holder: string;
  readonly running: Map<string, Running>;
}

/** Starts the relays that flows need and stops the others. */
async function adjust(
  options: RelayPartOptions,
  { db, holder, running }: Here,
  states: ReadonlyMap<string, CapabilityState>,
): Promise<void> {
  for (const source of relaySources(options.migration, options.connections)) {
    const wanted = source.wanted((id) => states.get(id)?.phase ?? 'monolith');
    const present = running.get(source.name);
    if (wanted && !present) running.set(source.name, start({ options, source, db, holder }));
    // Somebody has just decided something: one that stopped is not to wait any longer.
    if (wanted) present?.attempts.nudge();
    if (!wanted && present) {
      running.delete(source.name);
      await stopped(present);
      await new RelayReports(db).drop(source.name);
    }
  }
}

const NONE = { written: 0, bytes: 0, letters: 0 };

interface Kept {
  readonly options: RelayPartOptions;
  readonly source: RelaySource;
  readonly db: Knex;
  readonly holder: string;
}

function start(kept: Kept): Running {
  const stop = new AbortController();
  const { signal } = stop;
  const { options, source, db } = kept;
  const attempts = new Attempts(signal);
  const reports = new RelayReports(db);
  const watch = watchRetainedWal(
    {
      ...{ reader: 'relay', which: { source: source.name }, url: source.url, log: options.log },
      slotIn: (database) => relayNames(database).slot,
      alarmBytes: options.migration.sync.walAlarmBytes,
      report: (retained, behind) => reports.reportRetained(source.name, retained, behind),
    },
    signal,
  );
  return {
    ...{ stop, attempts },
    ended: Promise.all([watch, keepRunning(kept, reports, attempts, signal)]),
  };
}

async function stopped({ stop, ended }: Running): Promise<void> {
  stop.abort();
  await ended;
}

async function keepRunning(
  { options, source, db, holder }: Kept,
  reports: RelayReports,
  attempts: Attempts,
  signal: AbortSignal,
): Promise<void> {
  const { log, migration, connections } = options;
  const { kafka: connection } = connections;
  if (!connection) throw new RangeError('a relay without Kafka');
  const kafka = kafkaClient(connection, log);
  const own = { source: source.name, holder };
  const running = { ...own, status: 'running', errorCode: null, error: null } as const;
  while (!signal.aborted) {
    const run = { begun: false };
    try {
      const { prepare, end, script } = scribe(source, kafka, log);
      await runRelay(
        {
          ...{
            ...own,
            url: source.url,
            kafka,
            terms: new RelayTerms(db),
            log,
            prepare,
            end,
            script,
          },
          ...(await lastReport(reports, source.name)),
          onStandby: () => reports.reportStandby(source.name),
          onRunning: () => {
            run.begun = true;
            log.info('relay started', own);
          },
          report: counting(reports, running),
          silenceMs: migration.sync.silenceMs,
        },
        signal,
      );
      log.info('relay ended', own);
    } catch (error) {
      if (isBanyanError(error, 'APPLIER_REPLACED')) {
        log.warn('another relay has taken over; this one stands by', own);
        await attempts.pause(STEP_BACK_MS);
        continue;
      }
      if (run.begun && isPassing(error)) attempts.forgive();
      log.error('relay failed', { ...own, code: codeOf(error), error: messageOf(error) });
      await reports
        .report({ ...own, status: isPassing(error) ? 'retrying' : 'stopped', ...reasonOf(error) })
        .catch(() => undefined);
      await attempts.afterFailure(error);
    }
  }
}

/** Reports of one run: its counts go on where the reports before it have left them. */
function counting(
  reports: RelayReports,
  running: RelayReport,
): (progress: RelayProgress) => Promise<void> {
  let earlier: Pick<RelayLine, 'written' | 'bytes' | 'letters'> | undefined;
  return async (progress) => {
    const { written, bytes, letters } = (earlier ??=
      (await lineOf(reports, running.source)) ?? NONE);
    await reports.report(running, {
      ...progress,
      written: written + progress.written,
      bytes: bytes + progress.bytes,
      letters: letters + progress.letters,
    });
  };
}

async function lineOf(reports: RelayReports, source: string): Promise<RelayLine | undefined> {
  return (await reports.lines()).find((line) => line.source === source);
}

async function lastReport(
  reports: RelayReports,
  source: string,
): Promise<Pick<RelayOptions, 'before' | 'chain'>> {
  // Without the control database nobody knows; each flow looks for itself.
  const { position, chain } = (await lineOf(reports, source).catch(() => undefined)) ?? {};
  return { before: parsePosition(position ?? undefined), chain: parseChain(chain ?? '') };
}

function isPassing(error: unknown): boolean {
  return isConnectionError(error) || (isBanyanError(error) && error.retryable);
}

function reasonOf(error: unknown): { readonly errorCode: string; readonly error: string } {
  const hint = isBanyanError(error) && error.hint ? `. ${error.hint}` : '';
  return { errorCode: codeOf(error), error: `${messageOf(error)}${hint}` };
}

function codeOf(error: unknown): string {
  if (isBanyanError(error)) return error.code;
  return isConnectionError(error) ? 'DATABASE_UNREACHABLE' : 'INTERNAL';
}
