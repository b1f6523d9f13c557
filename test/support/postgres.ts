// Databases for tests, on the one embedded server that global-setup.ts started for the whole run.
import { randomBytes } from 'node:crypto';
import { connect, withClient } from '../../core/postgres/connect.ts';
import { quoteIdentifier } from '../../core/postgres/identifiers.ts';

export interface TestDatabase {
  readonly url: string;
  readonly name: string;
  drop(): Promise<void>;
}

/** Has the control schema; nobody connects to it. */
export const CONTROL_TEMPLATE = 'banyan_control_template';
/** The server of the whole run, which has that template; a test may name another one for what follows. */
const SHARED = process.env['BANYAN_TEST_POSTGRES'];

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
  return createDatabase('control', SHARED, CONTROL_TEMPLATE);
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
    drop: async () => {
      const client = await connect(serverUrl('postgres', base), SESSION);
      try {
        await client.query(
          `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = $1 AND active`,
          [name],
        );
        for (let attempt = 0; attempt < 50; attempt++) {
          const { rows } = await client.query<{ active: boolean }>(
            `SELECT active FROM pg_replication_slots WHERE database = $1`,
            [name],
          );
          if (!rows.some((row) => row.active)) break;
        }
        await client.query(
          `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1`,
          [name],
        );
        await client.query(`DROP DATABASE IF EXISTS ${quoteIdentifier(name)} WITH (FORCE)`);
      } finally {
        await client.end();
      }
    },
  };
}
