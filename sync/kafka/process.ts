// `banyan relay`: runs the relay of each source database from which a flow leads, or whose outbox has still
// to be sent after the last one; starts it again when its source or Kafka was lost, reports it. Started
// twice, the second of each stands by (turn.ts).
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Knex } from 'knex';
import { isBanyanError, messageOf } from '../../core/errors.ts';
import { kafkaClient } from '../../core/kafka/connect.ts';
import { sleep, type Part } from '../../core/lifecycle.ts';
import { isConnectionError } from '../../core/postgres/connect.ts';
import type { Logger } from '../../core/log.ts';
import type { Connections } from '../../control/connections.ts';
import type { Migration } from '../../control/definition.ts';
import { relayNames } from '../../control/domain/names.ts';
import type { Phase } from '../../control/domain/phase.ts';
import type { CapabilityState } from '../../control/domain/state.ts';
import { lookAtOwed } from '../../control/relay-leave.ts';
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
/** Between two looks at what a relay owes that no flow needs, and at whether one owes anything that does not run here. */
const OWED_MS = 1_000;
const OWED_ELSEWHERE_MS = 30_000;

/** The relays as a part of a process. Ready once it has looked at the states for the first time. */
export function relayPart(options: RelayPartOptions): Part {
  const holder = `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`;
  return {
    name: 'relay',
    run: async (signal, ready) => {
      const db = openControl(options.controlUrl);
      const running = new Map<string, Running>();
      const here: Here = { options, db, holder, running, phases: undefined };
      try {
        const watching = watchStates(
          {
            url: options.controlUrl,
            store: new StateStore(db),
            capabilities: Object.keys(options.migration.capabilities),
            log: options.log,
            onChange: async (states) => {
              here.phases = states;
              await adjust(here);
              ready();
            },
          },
          signal,
        );
        await Promise.all([watching, ...sourcesOf(here).map((one) => seeOff(here, one, signal))]);
      } finally {
        await Promise.all([...running.values()].map(stopped));
        await db.destroy();
      }
    },
  };
}

interface Here {
  readonly options: RelayPartOptions;
  readonly db: Knex;
  readonly holder: string;
  readonly running: Map<string, Running>;
  /** As they were last seen; undefined before that. */
  phases: ReadonlyMap<string, CapabilityState> | undefined;
}

function sourcesOf({ options }: Here): RelaySource[] {
  return relaySources(options.migration, options.connections);
}

/** Whether a flow leads from there; undefined as long as nobody knows. */
function isWanted({ phases }: Here, source: RelaySource): boolean | undefined {
  return phases && source.wanted((id): Phase => phases.get(id)?.phase ?? 'monolith');
}

/** Starts the relays that flows need and stops those that nobody does. */
async function adjust(here: Here): Promise<void> {
  const { db, running } = here;
  for (const source of sourcesOf(here)) {
    const wanted = isWanted(here, source) === true;
    const present = running.get(source.name);
    if (wanted && !present) begin(here, source);
    // Somebody has just decided something: one that stopped is not to wait any longer.
    if (wanted) present?.attempts.nudge();
    if (wanted) await new RelayReports(db).reportStaying(source.name);
    if (!wanted && present && source.outboxes.length === 0) await finish(here, source, present);
  }
}

/** Where a source has an outbox, the last flow does not end its relay: what was committed by then is sent. */
async function seeOff(here: Here, source: RelaySource, signal: AbortSignal): Promise<void> {
  if (source.outboxes.length === 0) return;
  let lookedAt = -Infinity;
  while (!signal.aborted) {
    const everyMs = here.running.has(source.name) ? 0 : OWED_ELSEWHERE_MS;
    if (isWanted(here, source) === false && performance.now() >= lookedAt + everyMs) {
      lookedAt = performance.now();
      await lookAfter(here, source).catch((error: unknown) => {
        here.options.log.debug('what a relay still owes could not be seen: it is looked again', {
          ...{ source: source.name, error: messageOf(error) },
        });
      });
    }
    await sleep(OWED_MS, signal);
  }
}

/** Of a source from which no flow leads. */
async function lookAfter(here: Here, source: RelaySource): Promise<void> {
  const { name, url, outboxes } = source;
  const { owes, leaves, isLost } = await lookAtOwed(
    url,
    outboxes.map(({ table }) => table),
  );
  const present = here.running.get(name);
  // Somebody may have decided otherwise meanwhile.
  if (isWanted(here, source) !== false) return;
  if (owes && !present) begin(here, source);
  if (isLost && present)
    here.options.log.error(
      'the server has given up the slot of a relay that had events to send: they are in no topic',
      { source: name },
    );
  if (!owes && present) await finish(here, source, present);
  if (owes && leaves !== undefined) await new RelayReports(here.db).reportLeaving(name, leaves);
}

function begin({ options, db, holder, running }: Here, source: RelaySource): void {
  running.set(source.name, start({ options, source, db, holder }));
}

async function finish({ db, running }: Here, { name }: RelaySource, own: Running): Promise<void> {
  running.delete(name);
  await stopped(own);
  // Another one may have begun meanwhile.
  if (!running.has(name)) await new RelayReports(db).drop(name);
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
