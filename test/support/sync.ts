// A sync process for tests, and the waits that go with it: until a flow streams, until both sides
// are equal. Nothing here sleeps for luck.
import { expect } from '@jest/globals';
import { createLogger, type LogLevel } from '../../core/log.ts';
import { aborted, sleep, supervise, waitFor } from '../../core/lifecycle.ts';
import type { Phase } from '../../control/domain/phase.ts';
import type { ChangeLog } from '../../sync/change-log.ts';
import type { SyncOptions } from '../../sync/kept-flow.ts';
import { syncPart } from '../../sync/process.ts';
import type { Pair } from './pair.ts';

export interface RunningSync {
  stop(): Promise<void>;
}

const LEVEL = (process.env['TEST_LOG'] as LogLevel | undefined) ?? 'silent';

/** What a flow does by the clock it does so many times as often, so that nobody waits for that. */
const HASTE = 3;

/** Starts sync on a pair; small chunks, so that a copy takes many. */
export function startSync(
  pair: Pair,
  options: Partial<Pick<SyncOptions, 'wrapLog' | 'chunkRows' | 'migration' | 'log' | 'pause'>> = {},
): RunningSync {
  const stop = new AbortController();
  const running = supervise(
    [
      syncPart({
        migration: pair.migration,
        connections: pair.connections,
        controlUrl: pair.controlUrl,
        log: createLogger({}, LEVEL),
        chunkRows: 7,
        pause: (ms, signal) => sleep(ms / HASTE, signal),
        ...options,
      }),
    ],
    stop.signal,
  );
  return {
    stop: async () => {
      stop.abort();
      await running;
    },
  };
}

export interface GatedSync extends RunningSync {
  readonly gate: LogGate;
}

/** The same, with a gate that can hold its streams back; to stop it opens that. */
export function startGated(pair: Pair): GatedSync {
  const gate = logGate();
  const sync = startSync(pair, { wrapLog: gate.wrap });
  return {
    gate,
    stop: async () => {
      gate.open();
      await sync.stop();
    },
  };
}

/** Waits until the flow has copied everything and reports a watermark taken after this call. */
export async function streaming(pair: Pair, direction: 'to' | 'back'): Promise<void> {
  const since = await pair.evidence.now();
  let said = 'not there';
  await waitFor(
    async () => {
      const line = (await pair.evidence.flows('catalog')).find(
        (one) => one.direction === direction,
      );
      if (line) said = `${line.status}, ${line.error ?? 'no error'}`;
      return line?.status === 'streaming' && line.watermark !== null
        ? new Date(line.watermark) >= since
        : false;
    },
    { timeoutMs: 90_000, what: `flow ${direction} to stream` },
  ).catch((cause: unknown) => {
    throw new Error(`flow ${direction} does not stream: ${said}`, { cause });
  });
}

/** Waits until the flow has stopped with an error; gives it. */
export async function stopped(
  pair: Pair,
  direction: 'to' | 'back',
): Promise<{ code: string | null; error: string }> {
  return waitFor(
    async () => {
      const line = (await pair.evidence.flows('catalog')).find(
        (one) => one.direction === direction,
      );
      // What only passes, and is tried again, is no stop.
      return line?.status === 'stopped' && line.error !== null
        ? { code: line.errorCode, error: line.error }
        : undefined;
    },
    { timeoutMs: 60_000, what: `flow ${direction} to stop` },
  );
}

export type Views = () => Promise<{ monolith: unknown[]; service: unknown[] }>;

/** Waits until both sides show the same, then says so by an expectation with a readable difference. */
export async function equal(pair: Pair, views: Views = () => pair.views()): Promise<void> {
  await waitFor(
    async () => {
      const { monolith, service } = await views();
      return JSON.stringify(monolith) === JSON.stringify(service);
    },
    { timeoutMs: 60_000, what: 'both sides to be equal' },
  ).catch(() => undefined);
  const { monolith, service } = await views();
  expect(service).toEqual(monolith);
}

const CLEAN = { rows: 1, missing: 0, extra: 0, different: 0, unsettled: 0, samples: [] };
const ORDER: readonly Phase[] = ['monolith', 'sync', 'shadow', 'canary', 'cutover', 'retired'];

/** Tells the gates of a verify that found nothing wrong. */
export async function noteClean(pair: Pair): Promise<void> {
  await pair.evidence.addVerify({ capability: 'catalog', ...CLEAN });
}

/** Advances step by step to `phase`, waiting for each flow that the next step's gates ask for. */
export async function advanceTo(pair: Pair, phase: Phase): Promise<void> {
  const coordinator = pair.coordinator();
  for (;;) {
    const state = await pair.store.readOne('catalog');
    if (ORDER.indexOf(state.phase) >= ORDER.indexOf(phase)) return;
    if (state.phase !== 'monolith') await streaming(pair, 'to');
    if (state.phase === 'canary' || state.phase === 'cutover') await streaming(pair, 'back');
    await noteClean(pair);
    const next = ORDER[ORDER.indexOf(state.phase) + 1];
    await coordinator.move({ capability: 'catalog', event: 'advance', ...(next && { to: next }) });
  }
}

/** What of ours is left in both databases: schemas, triggers, publications, slots, origins. */
export async function leftovers(pair: Pair): Promise<string[]> {
  const found: string[] = [];
  for (const side of [pair.monolith, pair.service]) {
    const { rows } = await side.query<{ left: string }>(`
      SELECT 'schema ' || nspname AS left FROM pg_namespace WHERE nspname = 'banyan'
      UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE tgname LIKE 'banyan%'
      UNION ALL SELECT 'publication ' || pubname FROM pg_publication
      UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots WHERE database = current_database()`);
    found.push(...rows.map((row) => row.left));
  }
  return found;
}

export interface LogGate {
  readonly wrap: (log: ChangeLog) => ChangeLog;
  /** From now on nothing more reaches the applier; resolves when it has what it had asked for. */
  readonly shut: () => void;
  readonly open: () => void;
}

/** Stands between slot and applier and can hold the stream back. */
export function logGate(): LogGate {
  let shut = false;
  let wake = Promise.withResolvers<undefined>();
  return {
    wrap: (log) => ({
      timeline: log.timeline,
      acknowledge: (lsn) => {
        log.acknowledge(lsn);
      },
      close: () => log.close(),
      read: async (signal) => {
        const pieces = await log.read(signal);
        const over = aborted(signal);
        while (shut && !signal.aborted) await Promise.race([wake.promise, over]);
        return signal.aborted ? [] : pieces;
      },
    }),
    shut: () => {
      shut = true;
    },
    open: () => {
      shut = false;
      wake.resolve(undefined);
      wake = Promise.withResolvers<undefined>();
    },
  };
}
