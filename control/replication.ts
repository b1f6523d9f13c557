// The standing parts of a flow: publication and slot at its source, checkpoint and origin at its
// target. Made when a phase needs the flow, removed without trace when none does.
import { BanyanError } from '../core/errors.ts';
import { waitFor } from '../core/lifecycle.ts';
import { sqlState, transaction, withClient } from '../core/postgres/connect.ts';
import {
  formatTable,
  parseTableName,
  quoteIdentifier,
  quoteTable,
} from '../core/postgres/identifiers.ts';
import { beginAtConnector } from './connector.ts';
import type { DebeziumSettings } from './debezium-settings.ts';
import type { TableMap } from './definition.ts';
import type { Direction } from './domain/flow.ts';
import { flowNames, MESSAGE_PREFIX, type FlowNames } from './domain/names.ts';
import { outlastLateSteps, takeAway } from './late-steps.ts';
import type { Lease } from './lease.ts';
import { assertNewest } from './ownership.ts';
import { scalar, type Participant } from './participant.ts';
import { isRelayed, joinRelay } from './relay.ts';
import { leaveRelay, type RelayEnd } from './relay-leave.ts';
import { createSlot, dropSlot, type SlotStart } from './slots.ts';

export interface FlowEnds {
  readonly names: FlowNames;
  readonly direction: Direction;
  readonly source: Participant;
  readonly target: Participant;
  /** Tables of the source. */
  readonly tables: readonly string[];
  /** Set where the relay of the source, by its name, brings the changes over Kafka, and its outbox tables too. */
  readonly relayed: { readonly source: string; readonly outbox: readonly string[] } | undefined;
  /** What the whole definition maps at the source: other flows may need a relay for them. */
  readonly known: readonly string[];
  /** Set where a connector of the team's brings them: it has a slot and a publication of its own. */
  readonly connector?: DebeziumSettings | undefined;
}

const SESSION = { applicationName: 'banyan-coordinator' };

export function flowEnds(
  capability: string,
  direction: Direction,
  monolith: Participant,
  service: Participant,
  tables: readonly TableMap[],
  relayed: FlowEnds['relayed'],
): Omit<FlowEnds, 'known'> {
  const [source, target] = direction === 'to' ? [monolith, service] : [service, monolith];
  return {
    names: flowNames(capability, direction, { source: source.database, target: target.database }),
    direction,
    source,
    target,
    tables: tables.flatMap((table) => (direction === 'to' ? table.monolith : table.service)),
    relayed,
  };
}

/** By what right somebody changes a flow's parts. */
export interface Right {
  readonly lease: Lease;
  readonly epoch: number;
}

/**
 * Makes the flow's parts, ready to be run by sync. The publication comes before the slot: decoding
 * looks it up as it was at each change. Over Kafka both are the relay's, or a connector's. Throws
 * STALE_COORDINATOR: a slot may take long, and somebody else have taken over meanwhile.
 */
export async function createFlow(ends: FlowEnds, right: Right): Promise<void> {
  const { names, source, target } = ends;
  await right.lease.assertHeld();
  for (const side of [source, target]) {
    // What one of a lower epoch has under way here is over from now on, or never happens.
    await side.guarded(right.epoch, () => Promise.resolve());
    await outlastLateSteps(side.client);
  }
  const { lsn, timeline } = ends.connector
    ? await beginAtConnector(source, ends.connector)
    : ends.relayed
      ? await joinRelay(source, { ...ends, outbox: ends.relayed.outbox })
      : await publish(ends, right);
  await right.lease.assertHeld();
  await target.guarded(right.epoch, (client) =>
    client.query(
      `INSERT INTO banyan.checkpoint (flow, timeline, commit_lsn, seq, mode, confirmed) VALUES ($1, $2, $3, 0, $4, $3)`,
      [names.flow, timeline, lsn, ends.direction === 'to' ? 'owner' : 'guest'],
    ),
  );
}

async function publish(
  { names, source, ...ends }: FlowEnds,
  { lease, epoch }: Right,
): Promise<SlotStart> {
  const tables = ends.tables.map((table) => quoteTable(parseTableName(table))).join(', ');
  await source.guarded(epoch, (client) =>
    client.query(
      `CREATE PUBLICATION ${quoteIdentifier(names.publication)} FOR TABLE ${tables} WITH (publish_via_partition_root = true)`,
    ),
  );
  await lease.assertHeld();
  return createSlot(source, names.slot);
}

/** Whether anything of the flow is there. An applier that never ran has made no origin. */
export async function hasFlow({ names, source, target, ...ends }: FlowEnds): Promise<boolean> {
  // Also where the definition has gone back to slots: nobody reads the relay's any more.
  if (await isRelayed(source, ownTables(ends))) return true;
  const atSource = await scalar(
    source.client,
    `SELECT EXISTS (SELECT 1 FROM pg_replication_slots WHERE slot_name = $1)
         OR EXISTS (SELECT 1 FROM pg_publication WHERE pubname = $2)`,
    [names.slot, names.publication],
  );
  const atTarget = await scalar(
    target.client,
    'SELECT EXISTS (SELECT 1 FROM pg_replication_origin WHERE roname = $1)',
    [names.origin],
  );
  if (atSource === 'true' || atTarget === 'true') return true;
  const table = await scalar(target.client, `SELECT to_regclass('banyan.checkpoint')`);
  if (table === '') return false;
  const rows = 'SELECT count(*) FROM banyan.checkpoint WHERE flow = $1';
  return (await scalar(target.client, rows, [names.flow])) !== '0';
}

/** An outbox that is mapped besides may be there for its events alone. */
function ownTables({ tables, relayed }: Pick<FlowEnds, 'tables' | 'relayed'>): readonly string[] {
  const outboxes = new Set(relayed?.outbox.map((table) => formatTable(parseTableName(table))));
  return tables.filter((table) => !outboxes.has(formatTable(parseTableName(table))));
}

/**
 * Removes whatever of the flow is there; the relay's own parts too when it was the last and owes no events.
 * Gives what has become of those. Idempotent; waits until sync has let go of the slot. Throws STALE_COORDINATOR.
 */
export async function removeFlow(ends: FlowEnds, right: Right): Promise<RelayEnd> {
  const relay = await removeSourceParts(ends, right);
  await removeTargetParts(ends, right);
  return relay;
}

/** What of it is at the source. */
export async function removeSourceParts(
  { names, source, ...ends }: Omit<FlowEnds, 'direction' | 'target'>,
  { lease, epoch }: Right,
): Promise<RelayEnd> {
  await lease.assertHeld();
  const isRelays = ends.relayed !== undefined || (await isRelayed(source, ends.tables));
  const newest = (): Promise<void> => assertNewest(source.client, source.capability, epoch);
  const outbox = ends.relayed?.outbox ?? [];
  const relay = isRelays
    ? await leaveRelay(source, { ...ends, outbox, assertNewest: newest })
    : 'shared';
  await dropSlot(source.logins.capture, names.slot, '`banyan sync`', async () => {
    await lease.assertHeld();
    await newest();
  });
  await source.guardedAway(epoch, (client) =>
    client.query(`DROP PUBLICATION IF EXISTS ${quoteIdentifier(names.publication)}`),
  );
  return relay;
}

const OF_A_FLOW = [
  ...['checkpoint', 'backfill', 'reread', 'orphan', 'parked', 'conflict', 'awaited', 'log_offset'],
];

/** What of it is at the target. */
export async function removeTargetParts(
  { names, target }: Pick<FlowEnds, 'names' | 'target'>,
  { lease, epoch }: Right,
): Promise<void> {
  await lease.assertHeld();
  await target.guardedAway(epoch, async (client) => {
    for (const table of OF_A_FLOW)
      if ((await scalar(client, 'SELECT to_regclass($1)', [`banyan.${table}`])) !== '')
        await client.query(`DELETE FROM banyan.${table} WHERE flow = $1`, [names.flow]);
  });
  await withClient(target.logins.applier, SESSION, async (client) => {
    await waitFor(
      async () => {
        await lease.assertHeld();
        try {
          await takeAway(
            client,
            () => assertNewest(target.client, target.capability, epoch),
            () =>
              client.query(
                `SELECT pg_replication_origin_drop($1) WHERE pg_replication_origin_oid($1) IS NOT NULL`,
                [names.origin],
              ),
          );
          return true;
        } catch (error) {
          // 55006: its session is just ending.
          if (sqlState(error) !== '55006') throw error;
          return false;
        }
      },
      { timeoutMs: 15_000, what: `the applier to let go of origin ${names.origin}` },
    );
  });
}

/**
 * Waits until the flow's applier has passed the ownership message of this epoch, and no row is to be
 * read again; gives the commit it has come to. Throws TIMED_OUT, and GATE_REFUSED when a change is parked, or
 * a table is being copied: the target lacks it.
 */
export async function waitForBarrier(
  ends: FlowEnds,
  epoch: number,
  timeoutMs: number,
): Promise<string> {
  const position = await waitToPass(ends, 'barrier >= $2', epoch, timeoutMs, true);
  // The applier may have passed it by a commit that is not on the target's disk yet; the next that is
  // takes it along, and the owner must not change before that.
  const { target } = ends;
  await transaction(target.client, async () => {
    await target.client.query('SET LOCAL synchronous_commit = on');
    await target.client.query('SELECT pg_logical_emit_message(true, $1, $2)', [MESSAGE_PREFIX, '']);
  });
  return position;
}

/** The same for what had been committed before this position of the source. */
export async function waitForPosition(
  ends: FlowEnds,
  lsn: string,
  timeoutMs: number,
): Promise<void> {
  await waitToPass(ends, 'commit_lsn >= $2::pg_lsn', lsn, timeoutMs);
}

async function waitToPass(
  { target, names }: FlowEnds,
  condition: string,
  value: number | string,
  timeoutMs: number,
  whole = false,
): Promise<string> {
  return waitFor(
    async () => {
      // In one look: a row must not be seen on neither of the two lists while it goes from one to the other.
      const { rows } = await target.client.query<{
        passed: boolean;
        parked: string;
        copied: string | null;
        at: string;
      }>(
        `SELECT ${condition} AND NOT EXISTS (SELECT 1 FROM banyan.reread WHERE flow = $1) AS passed,
                (SELECT count(*) FROM banyan.parked WHERE flow = $1) AS parked, commit_lsn::text AS at,
                (SELECT string_agg(source_table, ', ') FROM banyan.backfill WHERE flow = $1 AND stage <> 'done') AS copied
           FROM banyan.checkpoint WHERE flow = $1`,
        [names.flow, value],
      );
      const [found] = rows;
      if (!found?.passed) return false;
      if (whole && found.copied !== null)
        throw new BanyanError(
          'GATE_REFUSED',
          `flow ${names.flow} is copying ${found.copied}: its target is not complete`,
          { hint: '`banyan sync status` tells how far it is.' },
        );
      if (found.parked === '0') return found.at;
      throw new BanyanError(
        'GATE_REFUSED',
        `flow ${names.flow} has ${found.parked} changes parked: its target lacks them`,
        { hint: '`banyan sync show` lists them.' },
      );
    },
    {
      timeoutMs,
      everyMs: 5,
      what: `flow ${names.flow} to pass the barrier`,
      hint: 'Is `banyan sync` running? `banyan status` shows its lag and errors.',
    },
  );
}
