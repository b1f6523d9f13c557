// Databases for tests, on the embedded server that global-setup.ts started for the worker.
import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { waitFor } from '../../core/lifecycle.ts';
import { withClient } from '../../core/postgres/connect.ts';
import { quoteIdentifier } from '../../core/postgres/identifiers.ts';

export interface TestDatabase {
  readonly url: string;
  readonly name: string;
  drop(): Promise<void>;
}

/** Has the control schema; nobody connects to it. */
export const CONTROL_TEMPLATE = 'banyan_control_template';
/** The server of this worker, which has that template; a test may name another one for what follows. */
const own = (): string | undefined =>
  process.env[`BANYAN_TEST_POSTGRES_${process.env['JEST_WORKER_ID'] ?? '1'}`];

const SESSION = { applicationName: 'banyan-test' };

/** Superuser URL of a database on the shared server, or on another one. */
export function serverUrl(
  database = 'postgres',
  base = process.env['BANYAN_TEST_POSTGRES'],
): string {
  if (base === undefined) throw new Error('jest globalSetup did not start PostgreSQL');
  const url = new URL(base);
  url.pathname = `/${database}`;
  return url.href;
}

/** A control database whose schema is up to date. */
export function createControl(): Promise<TestDatabase> {
  return createDatabase('control', own(), CONTROL_TEMPLATE);
}

/** Makes a database, an empty one unless it is to be like another; `drop` removes it, its slots and whoever is still connected. */
export async function createDatabase(
  label: string,
  base?: string,
  like = 'template1',
): Promise<TestDatabase> {
  const name = `${label}_${randomBytes(4).toString('hex')}`;
  await withClient(serverUrl('postgres', base), SESSION, (client) =>
    client.query(
      `CREATE DATABASE ${quoteIdentifier(name)} TEMPLATE ${quoteIdentifier(like)} STRATEGY file_copy`,
    ),
  );
  return {
    url: serverUrl(name, base),
    name,
    drop: () =>
      withClient(serverUrl('postgres', base), SESSION, (client) => dropDatabases(client, [name])),
  };
}

/** Removes databases of the session's server, their slots and whoever is still connected. */
export async function dropDatabases(client: pg.Client, names: readonly string[]): Promise<void> {
  // Whoever is told to go keeps its slot until it has gone.
  const slotsAreGone = async (): Promise<boolean> => {
    const { rows } = await client.query<{ held: boolean }>(
      `SELECT active AS held, pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = ANY ($1)`,
      [names],
    );
    if (rows.some(({ held }) => held)) return false;
    await client.query(
      'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = ANY ($1)',
      [names],
    );
    return true;
  };
  await waitFor(slotsAreGone, { timeoutMs: 30_000, everyMs: 5, what: 'slots to be let go' });
  for (const name of names)
    await client.query(`DROP DATABASE IF EXISTS ${quoteIdentifier(name)} WITH (FORCE)`);
}
