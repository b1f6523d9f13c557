// Replication slots of ours at a source, made and removed by the capture login that reads them.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import { waitFor } from '../core/lifecycle.ts';
import { sqlState, withClient } from '../core/postgres/connect.ts';
import { findWriters } from './blockers.ts';
import { takeAway } from './late-steps.ts';
import { scalar, type Participant } from './participant.ts';

/** Where a stream begins: whatever commits after it is in there. */
export interface SlotStart {
  readonly lsn: string;
  readonly timeline: number;
}

/** What a server says of itself. */
export interface SystemFacts {
  /** The same for all copies of one database cluster. */
  readonly system: string;
  readonly timeline: number;
}

/** How long transactions that are open may be waited for. */
export const OPEN_TRANSACTIONS_MS = 30_000;
const OBJECT_IN_USE = '55006';
const SESSION = { applicationName: 'banyan-coordinator' };

/** Throws TIMED_OUT while transactions that were open before it stay so. */
export async function createSlot(source: Participant, slot: string): Promise<SlotStart> {
  return withClient(source.logins.capture, SESSION, async (client) => {
    await client.query(`SET statement_timeout = ${OPEN_TRANSACTIONS_MS}`);
    try {
      // From 17 on a standby can keep a copy of it, and the flow go on there once that is promoted.
      const canFailOver =
        (await scalar(client, `SELECT current_setting('server_version_num')::int >= 170000`)) ===
        'true';
      const lsn = await scalar(
        client,
        `SELECT lsn FROM pg_create_logical_replication_slot($1, 'pgoutput'${canFailOver ? ', failover => true' : ''})`,
        [slot],
      );
      return { lsn, timeline: await timelineOf(source.logins.capture) };
    } catch (error) {
      // 57014: cancelled by the timeout.
      if (sqlState(error) !== '57014') throw error;
      throw await openTransactions(source, slot, error);
    }
  });
}

/** The error that names the transactions which are in the way. */
export async function openTransactions(
  source: Participant,
  slot: string,
  cause: unknown,
): Promise<BanyanError> {
  const open = await findWriters(source.client, 1_000);
  return new BanyanError(
    'TIMED_OUT',
    `the slot ${slot} waits for transactions that were open before it`,
    {
      hint:
        open.length > 0
          ? `End them: ${open.join('; ')}`
          : 'End long-running transactions and try again.',
      cause,
    },
  );
}

export async function timelineOf(url: string): Promise<number> {
  return (await systemOf(url)).timeline;
}

export async function systemOf(url: string): Promise<SystemFacts> {
  return withClient(url, { ...SESSION, replication: true }, async (client) => {
    const { rows } = await client.query<{ systemid: string; timeline: string }>('IDENTIFY_SYSTEM');
    return { system: rows[0]?.systemid ?? '', timeline: Number(rows[0]?.timeline ?? 0) };
  });
}

/**
 * Idempotent; waits until its reader has let go of it. `assertNewest` throws where by then it may be
 * another's (late-steps.ts).
 */
export async function dropSlot(
  url: string,
  slot: string,
  reader: string,
  assertNewest: () => Promise<void>,
): Promise<void> {
  await withClient(url, SESSION, (client) =>
    waitFor(
      async () => {
        const active = await scalar(
          client,
          'SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1 AND active',
          [slot],
        );
        return active === '0' && dropped(client, slot, assertNewest);
      },
      {
        timeoutMs: 15_000,
        what: `sync to let go of slot ${slot}`,
        hint: `Is a ${reader} cut off from the control database? End it.`,
      },
    ),
  );
}

/** False where a reader has just taken it up again. */
async function dropped(
  client: pg.Client,
  slot: string,
  assertNewest: () => Promise<void>,
): Promise<boolean> {
  try {
    await takeAway(client, assertNewest, () =>
      client.query(
        'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1',
        [slot],
      ),
    );
    return true;
  } catch (error) {
    if (sqlState(error) !== OBJECT_IN_USE) throw error;
    return false;
  }
}
