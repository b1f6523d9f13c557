import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { PG_MIGRATE_LOCK_ID } from 'node-pg-migrate';
import { withClient } from '../core/postgres/connect.ts';
import { migrate } from '../core/postgres/migrate.ts';
import { createDatabase, type TestDatabase } from '../test/support/postgres.ts';

const SESSION = { applicationName: 'banyan-test' };
let database: TestDatabase;

beforeEach(async () => {
  database = await createDatabase('migrations');
});

afterEach(async () => {
  await database.drop();
});

/** Everything in the database that is not PostgreSQL's own. */
async function objects(): Promise<string[]> {
  return withClient(database.url, SESSION, async (client) => {
    const { rows } = await client.query<{ name: string }>(`
      SELECT n.nspname || '.' || c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE n.nspname !~ '^(pg_|information_schema)' AND c.relname NOT LIKE 'pgmigrations%'
      UNION ALL SELECT n.nspname || '.' || p.proname || '()' FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
       WHERE n.nspname !~ '^(pg_|information_schema)' ORDER BY 1`);
    return rows.map((row) => row.name);
  });
}

test.each(['control', 'participant'])(
  '%s goes up and down, twice each, and back up',
  async (folder) => {
    const run = (direction: 'up' | 'down') =>
      migrate({ url: database.url, folder, direction, schema: 'banyan' });
    await run('up');
    await run('up');
    const made = await objects();
    expect(made.length).toBeGreaterThan(5);
    await run('down');
    await run('down');
    expect(await objects()).toEqual([]);
    await Promise.all([run('up'), run('up')]);
    expect(await objects()).toEqual(made);
  },
);

test('where all is there nobody is waited for; where one is missing it is not taken for there', async () => {
  const run = () =>
    migrate({ url: database.url, folder: 'participant', direction: 'up', schema: 'banyan' });
  await run();
  await withClient(database.url, SESSION, async (client) => {
    // As a migration that is under way elsewhere holds it.
    await client.query('SELECT pg_advisory_lock($1)', [PG_MIGRATE_LOCK_ID]);
    await run();
    await client.query('SELECT pg_advisory_unlock($1)', [PG_MIGRATE_LOCK_ID]);
    await client.query(
      'DELETE FROM banyan.pgmigrations WHERE name = (SELECT max(name) FROM banyan.pgmigrations)',
    );
  });
  await expect(run()).rejects.toThrow('already exists');
});
