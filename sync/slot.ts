// What is asked of a source before its slot is read: that the slot is there and whole, and that the
// server is the one the checkpoint was made at, or one that was promoted from it in time.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import { sqlState, withClient } from '../core/postgres/connect.ts';
import { formatLsn, parseLsn, type Lsn, type Position } from '../core/postgres/lsn.ts';
import { continuation, parseHistory, type Continuation, type Fork } from './domain/timeline.ts';

/** Throws SLOT_LOST when the slot is gone or invalidated. */
export async function assertSlot(url: string, slot: string): Promise<void> {
  await withClient(url, { applicationName: 'banyan-capture' }, (client) => checkSlot(client, slot));
}

/** How long a walsender has to end. */
const ENDING_MS = 2_000;

/**
 * The same for the only one who may read it: a walsender of ours that still does so is a dead reader's,
 * and is ended. Behind a network that has dropped it without a word it would hold the slot for another
 * wal_sender_timeout.
 */
export async function seizeSlot(url: string, slot: string): Promise<void> {
  await withClient(url, { applicationName: 'banyan-capture' }, async (client) => {
    await checkSlot(client, slot);
    await client.query(
      `SELECT pg_terminate_backend(a.pid, $2::bigint)
         FROM pg_replication_slots s JOIN pg_stat_activity a ON a.pid = s.active_pid
        WHERE s.slot_name = $1 AND a.usename = current_user
          AND a.application_name <> '' AND starts_with($3, a.application_name)`,
      [slot, ENDING_MS, readerOf(slot)],
    );
  });
}

/** What the sessions that read a slot are called; the server cuts long names. */
export function readerOf(slot: string): string {
  return `banyan-capture-${slot}`;
}

/** The same, asked by a session of the caller's. */
export async function checkSlot(client: pg.ClientBase, slot: string): Promise<void> {
  const hint =
    'Changes may have been missed: roll the capability back to monolith and start its sync anew.';
  const { rows } = await client.query<{ wal_status: string | null }>(
    'SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1',
    [slot],
  );
  if (rows.length === 0)
    throw new BanyanError('SLOT_LOST', `replication slot ${slot} is gone`, { hint });
  if (rows[0]?.wal_status === 'lost')
    throw new BanyanError(
      'SLOT_LOST',
      `replication slot ${slot} was invalidated: the server has removed WAL it needed`,
      { hint },
    );
}

/**
 * Where a slot goes on that stands further than its reader ever told it: it was made anew, or moved by
 * somebody else, or the reader's notes were set back with the rest of the target. Undefined where it does not.
 */
export async function movedTo(
  client: pg.ClientBase,
  slot: string,
  told: Lsn | undefined,
): Promise<Lsn | undefined> {
  if (told === undefined) return undefined;
  const { rows } = await client.query<{ at: string }>(
    'SELECT confirmed_flush_lsn::text AS at FROM pg_replication_slots WHERE slot_name = $1 AND confirmed_flush_lsn > $2',
    [slot, formatLsn(told)],
  );
  return rows[0] && parseLsn(rows[0].at);
}

/** What mends a flow that reads its source by a slot of its own. */
const RECOPY =
  '`banyan verify` names the rows that differ. `banyan sync recopy` takes the new server as it is: rows that it lost go, and all others are copied again, in whatever phase the capability is.';

/**
 * The timeline of the server behind a replication connection. Throws FLOW_STOPPED when the checkpoint
 * is not good there; `mend` says what to do where the server lacks what was taken from the one before.
 */
export async function timelineFor(
  client: pg.Client,
  slot: string,
  checkpoint: Position,
  mend = RECOPY,
): Promise<number> {
  const { timeline, verdict } = await standing(client, checkpoint);
  if (verdict.kind === 'goes on') return timeline;
  const before = `timeline ${checkpoint.timeline} at ${formatLsn(checkpoint.commitLsn)}`;
  if (verdict.kind === 'unrelated')
    throw new BanyanError(
      'FLOW_STOPPED',
      `the source of slot ${slot} is on timeline ${timeline}, which did not come from the checkpoint's ${before}`,
      { hint: 'Does its URL lead to an old server? Lead it to the one that was promoted last.' },
    );
  throw new BanyanError(
    'FLOW_STOPPED',
    `the source of slot ${slot} was promoted at ${formatLsn(verdict.switchPoint)}, behind which the target has changes that it lost (checkpoint: ${before})`,
    { hint: mend },
  );
}

/** Throws FLOW_STOPPED when the server has not written yet what the flow has taken from it. */
export async function assertWritten(
  client: pg.Client,
  slot: string,
  checkpoint: Position,
): Promise<void> {
  const end = await setBackTo(client, checkpoint);
  if (end === undefined) return;
  throw new BanyanError(
    'FLOW_STOPPED',
    `the source of slot ${slot} was set back to ${formatLsn(end)}, behind which the target has changes that it lost (checkpoint: timeline ${checkpoint.timeline} at ${formatLsn(checkpoint.commitLsn)})`,
    { hint: RECOPY },
  );
}

/**
 * Where a server's WAL ends that was set back behind a checkpoint on its timeline, as a restored disk is:
 * what it writes from now on lies where the lost changes were, and would be taken for them.
 */
export async function setBackTo(client: pg.Client, checkpoint: Position): Promise<Lsn | undefined> {
  const { rows } = await client.query<{ timeline: string; xlogpos: string }>('IDENTIFY_SYSTEM');
  const [{ timeline, xlogpos } = { timeline: '0', xlogpos: '0/0' }] = rows;
  const end = parseLsn(xlogpos);
  return Number(timeline) === checkpoint.timeline && end < checkpoint.commitLsn ? end : undefined;
}

/** Whether a checkpoint is good on the timeline of the server behind a replication connection. */
export async function standing(
  client: pg.Client,
  checkpoint: Position,
): Promise<{ readonly timeline: number; readonly verdict: Continuation }> {
  const { rows } = await client.query<{ timeline: string }>('IDENTIFY_SYSTEM');
  const timeline = Number(rows[0]?.timeline ?? 0);
  if (timeline === checkpoint.timeline) return { timeline, verdict: { kind: 'goes on' } };
  const history = await historyOf(client, timeline);
  return { timeline, verdict: continuation(checkpoint, timeline, history) };
}

async function historyOf(client: pg.Client, timeline: number): Promise<Fork[]> {
  // The first one has no history.
  if (timeline <= 1) return [];
  const { rows } = await client.query<{ content: string | Buffer }>(`TIMELINE_HISTORY ${timeline}`);
  return parseHistory(rows[0]?.content.toString() ?? '');
}

/** What a refused START_REPLICATION means. */
export function startError(error: Error, slot: string): Error {
  // 55006: object in use.
  if (sqlState(error) !== '55006') return error;
  return new BanyanError(
    'APPLIER_REPLACED',
    `replication slot ${slot} is read by another process`,
    {
      hint: 'Only one `banyan sync` works a flow at a time; end the other one or let it work.',
      cause: error,
    },
  );
}
