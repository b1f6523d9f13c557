// The standing parts of a relay: one slot and one publication a source database, for all of its flows.
// The publication holds the tables of those flows there are; both go with the last of them (relay-leave.ts).
// Coordinators of different capabilities change it at the same time: a lock in the source lets one after the
// other.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import { waitFor } from '../core/lifecycle.ts';
import {
  formatTable,
  parseTableName,
  quoteIdentifier,
  quoteLiteral,
  quoteTable,
} from '../core/postgres/identifiers.ts';
import { transaction } from '../core/postgres/connect.ts';
import { parseLsn } from '../core/postgres/lsn.ts';
import { relayNames } from './domain/names.ts';
import { lifeOf, noteOf, parseNote, type RelayLife } from './domain/relay-life.ts';
import { outlastLateSteps } from './late-steps.ts';
import { scalar, type Participant } from './participant.ts';
import {
  createSlot,
  dropSlot,
  OPEN_TRANSACTIONS_MS,
  openTransactions,
  systemOf,
  timelineOf,
  type SlotStart,
} from './slots.ts';

export const RELAY = '`banyan relay` or `banyan sync`';
const LOCK = `hashtextextended('banyan:relay', 0)`;

/** The tables of a flow at its source, and what else is there. */
export interface Relayed {
  readonly tables: readonly string[];
  /** What the whole definition maps there. */
  readonly known: readonly string[];
  readonly outbox?: readonly string[];
  /** Throws STALE_COORDINATOR where whoever leaves comes too late: the tables are there for another by now. */
  readonly assertNewest?: () => Promise<void>;
}

/**
 * Has the relay send these tables, and take the outbox tables along. Whatever commits after the position
 * that this gives comes through it. Throws TIMED_OUT while transactions stay open, SLOT_LOST when the
 * relay's slot has a hole or is not known, PREFLIGHT_FAILED when an outbox table cannot be published.
 */
export async function joinRelay(
  source: Participant,
  { tables: own, known, outbox = [] }: Relayed,
): Promise<SlotStart> {
  const tables = [...own, ...outbox];
  const { slot, publication } = relayNames(source.database);
  return locked(source.client, async () => {
    const listed = await publishedBy(source.client, publication);
    const status = await slotStatus(source.client, slot);
    const hasOthers = needed(listed ?? [], known, tables);
    const life = await relayLife(source.client, publication);
    if (status === 'lost' || (status === undefined && hasOthers)) throw hole(slot, status);
    // Nobody else's changes may go with a slot that is made anew.
    if (hasOthers && !life) throw unnoted(slot, publication);
    await assertPublishable(source.client, outbox);
    const missing = tables.filter((table) => !listed?.includes(labelOf(table))).map(quoted);
    // Whatever else a relay that is gone has left there is nobody's.
    if (listed && status === undefined)
      await source.client.query(
        `ALTER PUBLICATION ${quoteIdentifier(publication)} SET TABLE ${tables.map(quoted).join(', ')}`,
      );
    else if (!listed)
      await source.client.query(
        `CREATE PUBLICATION ${quoteIdentifier(publication)} FOR TABLE ${missing.join(', ')} WITH (publish_via_partition_root = true)`,
      );
    else
      await transaction(source.client, async () => {
        if (missing.length > 0)
          await source.client.query(
            `ALTER PUBLICATION ${quoteIdentifier(publication)} ADD TABLE ${missing.join(', ')}`,
          );
        // One that only stayed for its outbox stays for a flow from here on.
        if (life?.leaves !== undefined) await note(source.client, publication, staying(life));
      });
    // A slot whose life nobody has noted has never been read: no relay begins with one.
    if (status === undefined || !life) return makeSlot(source, { slot, publication });
    // What a transaction changed before it was published is not sent, whenever it commits.
    await settled(source, slot);
    return {
      lsn: await scalar(source.client, 'SELECT pg_current_wal_insert_lsn()'),
      timeline: await timelineOf(source.logins.capture),
    };
  });
}

function staying({ name, system, timeline, begins }: RelayLife): RelayLife {
  return { name, system, timeline, begins };
}

/** Of the slot that goes with a publication; undefined where it was never finished. */
export async function relayLife(
  client: pg.ClientBase,
  publication: string,
): Promise<RelayLife | undefined> {
  const { rows } = await client.query<{ note: string | null }>(
    `SELECT obj_description(oid, 'pg_publication') AS note FROM pg_publication WHERE pubname = $1`,
    [publication],
  );
  return parseNote(rows[0]?.note);
}

/** The note comes last: what was broken off before it is made anew. */
async function makeSlot(
  source: Participant,
  { slot, publication }: { readonly slot: string; readonly publication: string },
): Promise<SlotStart> {
  await note(source.client, publication, undefined);
  await dropSlot(source.logins.capture, slot, RELAY, () => assertLocked(source.client));
  const start = await createSlot(source, slot);
  const { system } = await systemOf(source.logins.capture);
  await note(source.client, publication, lifeOf(system, start.timeline, parseLsn(start.lsn)));
  return start;
}

/** Notes the life of the slot beside it. */
export async function note(
  client: pg.Client,
  publication: string,
  life: RelayLife | undefined,
): Promise<void> {
  const text = life ? quoteLiteral(noteOf(life)) : 'NULL';
  await client.query(`COMMENT ON PUBLICATION ${quoteIdentifier(publication)} IS ${text}`);
}

/**
 * Begins a new life of the relay's slot at a server that was promoted, from what it has confirmed on: what
 * the topics have of the old server behind that is passed by. Idempotent. Throws SLOT_LOST.
 */
export async function reviveRelay(source: Participant): Promise<void> {
  const { slot, publication } = relayNames(source.database);
  await locked(source.client, async () => {
    const status = await slotStatus(source.client, slot);
    if (status === undefined || status === 'lost') throw hole(slot, status);
    const life = await relayLife(source.client, publication);
    if (!life) throw unnoted(slot, publication);
    const { system, timeline } = await systemOf(source.logins.capture);
    if (life.timeline >= timeline) return;
    const confirmed = await scalar(
      source.client,
      'SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = $1',
      [slot],
    );
    await note(source.client, publication, lifeOf(system, timeline, parseLsn(confirmed)));
  });
}

/** Whether the relay sends any of these tables. */
export async function isRelayed(source: Participant, tables: readonly string[]): Promise<boolean> {
  const listed = await publishedBy(source.client, relayNames(source.database).publication);
  return tables.some((table) => listed?.includes(labelOf(table)));
}

/** Whether other flows need what is listed: neither an outbox nor a table that nobody maps any more keeps a relay. */
export function needed(
  listed: readonly string[],
  known: readonly string[],
  own: readonly string[],
): boolean {
  const labels = new Set(own.map(labelOf));
  return known.map(labelOf).some((label) => !labels.has(label) && listed.includes(label));
}

/** What helps where the relay's slot cannot go on as it is. */
export const RELAY_ANEW =
  'Roll every capability whose changes come through it back to monolith; slot and publication go with the last of them, and the next to start begins with new ones. Where it has an outbox, `banyan relay give-up` gives up what it cannot send any more: only then they go.';

/** A slot that was never finished, was made by somebody else, or by a version that noted nothing. */
export function unnoted(slot: string, publication: string): BanyanError {
  return new BanyanError(
    'SLOT_LOST',
    `the comment on publication ${publication} does not say since when there is the relay's slot ${slot}`,
    {
      hint: `Was the comment removed? Set it again: "banyan: the relay's slot was made at …", with what header banyan.life of the topic's last records says. Was the slot made by hand, or by a version of before such comments? ${RELAY_ANEW}`,
    },
  );
}

/** A new slot would hide from the flows there are that changes are missing. */
function hole(slot: string, status: string | undefined): BanyanError {
  return new BanyanError(
    'SLOT_LOST',
    `the relay's replication slot ${slot} ${status === undefined ? 'is gone' : 'was invalidated: the server has removed WAL it needed'}`,
    {
      hint: `Changes may have been missed. ${RELAY_ANEW}`,
    },
  );
}

/** One who stands still with the lock loses its session, and so the lock; nothing here is silent for so long. */
const IDLE_MS = OPEN_TRANSACTIONS_MS + 30_000;

export async function locked<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  await client.query(`SET idle_session_timeout = ${IDLE_MS}`);
  await client.query(`SELECT pg_advisory_lock(${LOCK})`);
  try {
    // The slot is dropped by another session: that of one who had the lock before may still be at it.
    await outlastLateSteps(client);
    return await work();
  } finally {
    await client.query(`SELECT pg_advisory_unlock(${LOCK})`);
    await client.query('RESET idle_session_timeout');
  }
}

/** The lock is the session's: as long as that answers, nobody else has it. */
export async function assertLocked(client: pg.Client): Promise<void> {
  await client.query('SELECT 1');
}

/** `schema.table` of each; undefined where there is no such publication. */
export async function publishedBy(
  client: pg.ClientBase,
  publication: string,
): Promise<string[] | undefined> {
  const { rows } = await client.query<{ tables: string[] }>(
    `SELECT ARRAY(SELECT n.nspname || '.' || c.relname FROM pg_publication_rel r
                    JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                   WHERE r.prpubid = p.oid) AS tables
       FROM pg_publication p WHERE p.pubname = $1`,
    [publication],
  );
  return rows[0]?.tables;
}

/** A table without a replica identity refuses deletes as soon as it is published. */
async function assertPublishable(client: pg.Client, tables: readonly string[]): Promise<void> {
  for (const table of tables) {
    const { rows } = await client.query<{ identity: boolean }>(
      `SELECT c.relreplident = 'f' OR EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid
                AND CASE c.relreplident WHEN 'd' THEN i.indisprimary ELSE i.indisreplident END) AS identity
         FROM pg_class c WHERE c.oid = to_regclass($1)`,
      [quoted(table)],
    );
    if (rows[0]?.identity) continue;
    throw new BanyanError(
      'PREFLIGHT_FAILED',
      rows[0]
        ? `outbox table ${table} has no replica identity`
        : `there is no outbox table ${table}`,
      {
        hint: rows[0]
          ? 'Give it a primary key: without one its rows could not be deleted any more once it is published.'
          : 'Correct its name under changeLog.kafka.outbox, or migrate the database first.',
      },
    );
  }
}

async function slotStatus(client: pg.Client, slot: string): Promise<string | undefined> {
  const { rows } = await client.query<{ status: string | null }>(
    'SELECT wal_status AS status FROM pg_replication_slots WHERE slot_name = $1',
    [slot],
  );
  return rows[0] && (rows[0].status ?? '');
}

/** Waits until every transaction has ended that was open when the publication changed. */
async function settled(source: Participant, slot: string): Promise<void> {
  const began = await scalar(source.client, 'SELECT pg_snapshot_xmax(pg_current_snapshot())');
  try {
    await waitFor(
      async () =>
        (await scalar(
          source.client,
          'SELECT pg_snapshot_xmin(pg_current_snapshot()) >= $1::text::xid8',
          [began],
        )) === 'true',
      { timeoutMs: OPEN_TRANSACTIONS_MS, what: 'open transactions to end' },
    );
  } catch (error) {
    throw await openTransactions(source, slot, error);
  }
}

export function labelOf(table: string): string {
  return formatTable(parseTableName(table));
}

export function quoted(table: string): string {
  return quoteTable(parseTableName(table));
}
