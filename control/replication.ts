// The standing parts of a flow: publication and slot at its source, checkpoint and origin at its
// target. Made when a phase needs the flow, removed without trace when none does.
import { BanyanError } from '../core/errors.ts';
import { waitFor } from '../core/lifecycle.ts';
import { sqlState, transaction, withClient } from '../core/postgres/connect.ts';
import { quoteIdentifier, quoteTable, parseTableName } from '../core/postgres/identifiers.ts';
import type { TableMap } from './definition.ts';
import type { Direction } from './domain/flow.ts';
import { flowNames, MESSAGE_PREFIX, type FlowNames } from './domain/names.ts';
import { scalar, type Participant } from './participant.ts';

export interface FlowEnds {
  readonly names: FlowNames;
  readonly direction: Direction;
  readonly source: Participant;
  readonly target: Participant;
  /** Tables of the source. */
  readonly tables: readonly string[];
}

/** How long the slot may wait for transactions that are open when it is made. */
const SLOT_TIMEOUT_MS = 30_000;
const SESSION = { applicationName: 'banyan-coordinator' };

export function flowEnds(
  capability: string,
  direction: Direction,
  monolith: Participant,
  service: Participant,
  tables: readonly TableMap[],
): FlowEnds {
  const [source, target] = direction === 'to' ? [monolith, service] : [service, monolith];
  return {
    names: flowNames(capability, direction, { source: source.database, target: target.database }),
    direction,
    source,
    target,
    tables: tables.flatMap((table) => (direction === 'to' ? table.monolith : table.service)),
  };
}

/**
 * Makes the flow's parts, ready to be run by sync. The publication comes before the slot: decoding
 * looks it up as it was at each change.
 */
export async function createFlow(ends: FlowEnds): Promise<void> {
  const { names, source, target } = ends;
  const tables = ends.tables.map((table) => quoteTable(parseTableName(table))).join(', ');
  await source.client.query(
    `CREATE PUBLICATION ${quoteIdentifier(names.publication)} FOR TABLE ${tables} WITH (publish_via_partition_root = true)`,
  );
  const { lsn, timeline } = await createSlot(ends);
  await target.client.query(
    `INSERT INTO banyan.checkpoint (flow, timeline, commit_lsn, seq, mode) VALUES ($1, $2, $3, 0, $4)`,
    [names.flow, timeline, lsn, ends.direction === 'to' ? 'owner' : 'guest'],
  );
}

async function createSlot({ names, source }: FlowEnds): Promise<{ lsn: string; timeline: number }> {
  return withClient(source.logins.capture, SESSION, async (client) => {
    await client.query(`SET statement_timeout = ${SLOT_TIMEOUT_MS}`);
    try {
      // From 17 on a standby can keep a copy of it, and the flow go on there once that is promoted.
      const canFailOver =
        (await scalar(client, `SELECT current_setting('server_version_num')::int >= 170000`)) ===
        'true';
      const lsn = await scalar(
        client,
        `SELECT lsn FROM pg_create_logical_replication_slot($1, 'pgoutput'${canFailOver ? ', failover => true' : ''})`,
        [names.slot],
      );
      return { lsn, timeline: await timelineOf(source.logins.capture) };
    } catch (error) {
      // 57014: cancelled by the timeout.
      if (sqlState(error) !== '57014') throw error;
      const open = await source.blockers(1_000);
      throw new BanyanError(
        'TIMED_OUT',
        `the slot ${names.slot} waits for transactions that were open before it`,
        {
          hint:
            open.length > 0
              ? `End them: ${open.join('; ')}`
              : 'End long-running transactions and try again.',
          cause: error,
        },
      );
    }
  });
}

async function timelineOf(url: string): Promise<number> {
  return withClient(url, { ...SESSION, replication: true }, async (client) => {
    const { rows } = await client.query<{ timeline: string }>('IDENTIFY_SYSTEM');
    return Number(rows[0]?.timeline ?? 0);
  });
}

/** Whether anything of the flow is there: the origin goes last. */
export async function hasFlow({ names, source, target }: FlowEnds): Promise<boolean> {
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
  return atSource === 'true' || atTarget === 'true';
}

/** Removes whatever of the flow is there. Idempotent; waits until sync has let go of the slot. */
export async function removeFlow(ends: FlowEnds): Promise<void> {
  const { names, source, target } = ends;
  await withClient(source.logins.capture, SESSION, async (client) => {
    await waitFor(
      async () =>
        (await scalar(
          client,
          'SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1 AND active',
          [names.slot],
        )) === '0',
      {
        timeoutMs: 15_000,
        what: `sync to let go of slot ${names.slot}`,
        hint: 'Is a `banyan sync` cut off from the control database? End it.',
      },
    );
    await client.query(
      'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1',
      [names.slot],
    );
  });
  await source.client.query(`DROP PUBLICATION IF EXISTS ${quoteIdentifier(names.publication)}`);
  for (const table of [
    'checkpoint',
    'backfill',
    'reread',
    'orphan',
    'parked',
    'conflict',
    'awaited',
  ])
    if ((await scalar(target.client, 'SELECT to_regclass($1)', [`banyan.${table}`])) !== '')
      await target.client.query(`DELETE FROM banyan.${table} WHERE flow = $1`, [names.flow]);
  await withClient(target.logins.applier, SESSION, async (client) => {
    await waitFor(
      async () => {
        try {
          await client.query(
            `SELECT pg_replication_origin_drop($1) WHERE pg_replication_origin_oid($1) IS NOT NULL`,
            [names.origin],
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
 * read again. Throws TIMED_OUT, and GATE_REFUSED when a change is parked: the target lacks it.
 */
export async function waitForBarrier(
  ends: FlowEnds,
  epoch: number,
  timeoutMs: number,
): Promise<void> {
  const { target, names } = ends;
  await waitFor(
    async () => {
      // In one look: a row must not be seen on neither of the two lists while it goes from one to the other.
      const { rows } = await target.client.query<{ passed: boolean; parked: string }>(
        `SELECT barrier >= $2 AND NOT EXISTS (SELECT 1 FROM banyan.reread WHERE flow = $1) AS passed,
                (SELECT count(*) FROM banyan.parked WHERE flow = $1) AS parked
           FROM banyan.checkpoint WHERE flow = $1`,
        [names.flow, epoch],
      );
      const [found] = rows;
      if (!found?.passed) return false;
      if (found.parked === '0') return true;
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
  // The applier may have passed it by a commit that is not on the target's disk yet; the next that is
  // takes it along, and the owner must not change before that.
  await transaction(target.client, async () => {
    await target.client.query('SET LOCAL synchronous_commit = on');
    await target.client.query('SELECT pg_logical_emit_message(true, $1, $2)', [MESSAGE_PREFIX, '']);
  });
}
