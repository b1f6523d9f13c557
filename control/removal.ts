// A capability leaves a database. Triggers go under a lock that keeps readers waiting too: it is asked for in
// moments, table by table, and not at all while somebody is there who will stay (a dump, a report).
import type pg from 'pg';
import { transaction } from '../core/postgres/connect.ts';
import type { TableName } from '../core/postgres/identifiers.ts';
import { removeNoteStatements } from './domain/bypass.ts';
import { unfenceStatements } from './domain/fence.ts';
import { PARTICIPANT_SCHEMA } from './domain/names.ts';
import { removeShareStatements } from './domain/share.ts';
import { forgetOwnership, lockOwnership } from './ownership.ts';
import { scalar } from './scalar.ts';
import { isLockTimeout, patiently, type Lockable } from './table-locks.ts';
import { partitionsOf } from './table-facts.ts';

const LOCK_TIMEOUT_MS = 100;
const PATIENCE = {
  timeoutMs: 30_000,
  what: 'the lock to remove a fence',
  hint: 'Once they have ended, give the command again; it removes what is left.',
  purpose: 'remove',
} as const;

interface Leaving extends Lockable {
  readonly client: pg.Client;
  readonly capability: string;
  guardedAway<T>(epoch: number, work: (client: pg.Client) => Promise<T>): Promise<T>;
}

/** What is there of it at these tables and in our schema; that goes with the last. Idempotent. Throws STALE_COORDINATOR, TIMED_OUT. */
export async function leave(
  side: Leaving,
  tables: readonly TableName[],
  epoch: number,
): Promise<void> {
  const { client, capability } = side;
  for (const table of tables)
    for (const name of [table, ...(await partitionsOf(client, table))])
      await patiently(side, () => removed(side, name, epoch), PATIENCE);
  await patiently(OURS, () => forgotten(client, capability, epoch), PATIENCE);
}

/** Nobody but a dump stays at our own tables for long, and whoever waits behind it waits for us no longer. */
const OURS: Lockable = { blockers: () => Promise.resolve([]) };

/** False when the lock could not be had. */
async function removed(side: Leaving, name: TableName, epoch: number): Promise<boolean> {
  const statements = [
    `SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`,
    ...unfenceStatements(name),
    ...removeShareStatements(side.capability, name),
    ...removeNoteStatements(name),
  ];
  return inTime(() => side.guardedAway(epoch, (client) => client.query(statements.join(';\n'))));
}

async function forgotten(client: pg.Client, capability: string, epoch: number): Promise<boolean> {
  return inTime(() =>
    transaction(client, async () => {
      await client.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
      // Another capability may just be entering: it waits for this, and makes the schema anew.
      await client.query('LOCK TABLE banyan.ownership IN ACCESS EXCLUSIVE MODE');
      await lockOwnership(client, capability, epoch, 'passes');
      await forgetOwnership(client, capability);
      const left = await scalar(client, 'SELECT count(*) FROM banyan.ownership');
      if (left === '0') await client.query(`DROP SCHEMA ${PARTICIPANT_SCHEMA} CASCADE`);
    }),
  );
}

async function inTime(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (isLockTimeout(error)) return false;
    throw error;
  }
}
