// The end of a relay: with the last flow of a source go its slot and its publication. Where the publication
// has an outbox, what that held by then is still owed: the note beside the slot says up to where, the relay
// works on until the brokers have it, and whoever tidies up next takes both away. So no move waits for Kafka,
// and none loses an event; a coordinator may die between any two steps.
import type pg from 'pg';
import { isBanyanError } from '../core/errors.ts';
import { waitFor } from '../core/lifecycle.ts';
import { transaction, withClient } from '../core/postgres/connect.ts';
import { quoteIdentifier } from '../core/postgres/identifiers.ts';
import { formatLsn, parseLsn } from '../core/postgres/lsn.ts';
import { relayNames, type RelayNames } from './domain/names.ts';
import { owesEvents, type RelayStanding } from './domain/relay-life.ts';
import { scalar, type Participant } from './participant.ts';
import {
  assertLocked,
  labelOf,
  locked,
  needed,
  note,
  publishedBy,
  quoted,
  RELAY,
  relayLife,
  type Relayed,
} from './relay.ts';
import type { RelayReports } from './relay-reports.ts';
import { dropSlot } from './slots.ts';

/** Of a relay: other flows need it, it waits for its outbox, or nothing of it is left. */
export type RelayEnd = 'shared' | 'leaving' | 'gone';

/** How long a move waits for the events that are on their way: with Kafka at work they need a second or two. */
const SENT_MS = 10_000;
const LOOK_MS = 100;

/**
 * Has the relay send these tables no more; slot and publication go with the last that a flow needs, unless events
 * are still to be sent. Idempotent; waits until relays have let go of the slot.
 */
export function leaveRelay(source: Participant, relayed: Relayed): Promise<RelayEnd> {
  return locked(source.client, async () => {
    await relayed.assertNewest?.();
    const { tables, known, outbox = [] } = relayed;
    const names = relayNames(source.database);
    const standing = await standingOf(source.client, names);
    const { listed, life } = standing;
    const outboxes = outbox.map(labelOf);
    if (needed(listed, known, tables)) {
      await unpublish(source.client, names, ownOf(tables, listed, outboxes));
      return 'shared';
    }
    if (!owesEvents(standing, outboxes)) return removed(source, names);
    const leaving = ownOf(tables, listed, outboxes);
    if (life && (life.leaves === undefined || leaving.length > 0))
      await transaction(source.client, async () => {
        await unpublish(source.client, names, leaving);
        const at = await scalar(source.client, 'SELECT pg_current_wal_insert_lsn()');
        await note(source.client, names.publication, { ...life, leaves: parseLsn(at) });
      });
    return 'leaving';
  });
}

/** Of the publication; an outbox that is mapped besides stays in it for as long as the relay does. */
function ownOf(
  tables: readonly string[],
  listed: readonly string[],
  outboxes: readonly string[],
): string[] {
  return tables.filter((table) => {
    const label = labelOf(table);
    return listed.includes(label) && !outboxes.includes(label);
  });
}

async function unpublish(
  client: pg.Client,
  { publication }: RelayNames,
  tables: readonly string[],
): Promise<void> {
  if (tables.length === 0) return;
  await client.query(
    `ALTER PUBLICATION ${quoteIdentifier(publication)} DROP TABLE ${tables.map(quoted).join(', ')}`,
  );
}

/** The publication last: by its note it is known that there is something left. */
async function removed(source: Participant, { slot, publication }: RelayNames): Promise<'gone'> {
  await dropSlot(source.logins.capture, slot, RELAY, () => assertLocked(source.client));
  await source.client.query(`DROP PUBLICATION IF EXISTS ${quoteIdentifier(publication)}`);
  return 'gone';
}

async function standingOf(client: pg.Client, names: RelayNames): Promise<RelayStanding> {
  const { rows } = await client.query<{ confirmed: string | null; status: string | null }>(
    `SELECT confirmed_flush_lsn AS confirmed, wal_status AS status
       FROM pg_replication_slots WHERE slot_name = $1`,
    [names.slot],
  );
  const [row] = rows;
  return {
    life: await relayLife(client, names.publication),
    slot: row && { confirmed: parseLsn(row.confirmed ?? '0/0'), isLost: row.status === 'lost' },
    listed: (await publishedBy(client, names.publication)) ?? [],
  };
}

/** What a relay that no flow needs has still to do. Throws DATABASE_UNREACHABLE. */
export interface Owed {
  readonly owes: boolean;
  /** LSN up to which; undefined where that has not been noted yet. */
  readonly leaves: string | undefined;
  /** The server has given its slot up: what was left is in no topic. */
  readonly isLost: boolean;
}

/** For whoever runs relays. `url` is the login that reads the slot. */
export async function lookAtOwed(url: string, outboxes: readonly string[]): Promise<Owed> {
  return withClient(url, { applicationName: 'banyan-relay' }, async (client) => {
    const database = await scalar(client, 'SELECT current_database()');
    const standing = await standingOf(client, relayNames(database));
    const leaves = standing.life?.leaves;
    return {
      owes: owesEvents(standing, outboxes),
      leaves: leaves === undefined ? undefined : formatLsn(leaves),
      isLost: standing.slot?.isLost === true,
    };
  });
}

/** A source's part in seeing its relay off. */
export interface SeeingOff extends Relayed {
  /** As relays are called; undefined where the definition knows of none. */
  readonly name: string | undefined;
  readonly relays: RelayReports;
  /** Whether the events that are on their way are waited for, if not for long. */
  readonly waits: boolean;
}

/**
 * Takes a relay away that only stayed for its outbox, once that is sent; gives whether it is gone by that. Says in
 * its report where it still waits. Nothing here throws because Kafka is away.
 */
export async function seeOffRelay(source: Participant, seeing: SeeingOff): Promise<boolean> {
  const { name, relays, waits } = seeing;
  const { life } = await standingOf(source.client, relayNames(source.database));
  if (life?.leaves === undefined) return false;
  if (name !== undefined) await relays.reportLeaving(name, formatLsn(life.leaves));
  const end = await inTime(async () => {
    if (waits) await sent(source, seeing);
    return leaveRelay(source, seeing);
  });
  if (end === 'gone' && name !== undefined) await relays.drop(name);
  return end === 'gone';
}

/** What takes too long is somebody's next turn. */
async function inTime(work: () => Promise<RelayEnd>): Promise<RelayEnd> {
  try {
    return await work();
  } catch (error) {
    if (!isBanyanError(error, 'TIMED_OUT')) throw error;
    return 'leaving';
  }
}

/** Throws TIMED_OUT. */
async function sent(source: Participant, { outbox = [] }: Relayed): Promise<void> {
  const outboxes = outbox.map(labelOf);
  const names = relayNames(source.database);
  await waitFor(async () => !owesEvents(await standingOf(source.client, names), outboxes), {
    ...{ timeoutMs: SENT_MS, everyMs: LOOK_MS },
    what: 'the relay to send what is left of its outbox',
  });
}

/**
 * Gives up what such a relay has not sent: it lets go of its slot, and slot and publication go. False where none
 * waits for an outbox; `noted` is called where one does, before anything is done. Throws TIMED_OUT; the next who
 * tidies up goes on then.
 */
export async function giveUpEvents(
  source: Participant,
  relayed: Relayed,
  noted: () => Promise<void>,
): Promise<boolean> {
  const { publication } = relayNames(source.database);
  const isLeaving = await locked(source.client, async () => {
    const life = await relayLife(source.client, publication);
    if (life?.leaves === undefined) return false;
    await noted();
    // All of that is confirmed: nothing is owed any more, for the relay and for whoever tidies up.
    await note(source.client, publication, { ...life, leaves: 0n });
    return true;
  });
  return isLeaving && (await leaveRelay(source, relayed)) === 'gone';
}
