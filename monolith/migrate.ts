// Brings the shop's schema to its newest version, or takes it all the way down. The SQL lives in
// migrations/monolith; the bookkeeping table is public.pgmigrations. Both directions are idempotent.
import { fileURLToPath } from 'node:url';
import { runner } from 'node-pg-migrate';
import pg from 'pg';

const FOLDER = fileURLToPath(new URL('../migrations/monolith', import.meta.url));

/** Migrates `up` to the newest version or `down` to an empty schema, in one transaction. */
export async function migrateMonolith(
  databaseUrl: string,
  direction: 'up' | 'down' = 'up',
): Promise<void> {
  // A session of ours: the runner does not wait for the end of its own.
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    await runner({
      dbClient: client,
      dir: FOLDER,
      direction,
      count: Number.POSITIVE_INFINITY,
      migrationsTable: 'pgmigrations',
      verbose: false,
      log: () => undefined,
    });
  } finally {
    await client.end();
  }
}
