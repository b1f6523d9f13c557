// Runs the node-pg-migrate migrations of one folder. The bookkeeping table lives in `schema`, so
// that dropping the schema leaves nothing behind.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { withClient } from './connect.ts';
import { quoteIdentifier } from './identifiers.ts';

export interface MigrateOptions {
  readonly url: string;
  /** A folder of `migrations/`: control, participant, monolith, … */
  readonly folder: string;
  readonly direction: 'up' | 'down';
  /** Schema of the bookkeeping table; made when missing. */
  readonly schema: string;
}

const TABLE = 'pgmigrations';

/**
 * Migrates to the newest version, or all the way down. Idempotent; concurrent runs wait for each other. Where
 * nothing is to be done, that takes two queries and no lock.
 */
export async function migrate(options: MigrateOptions): Promise<void> {
  const dir = migrationsFolder(options.folder);
  await withClient(options.url, { applicationName: 'banyan-migrate' }, async (client) => {
    if (options.direction === 'up' && (await isUpToDate(client, dir, options.schema))) return;
    // It brings a compiler with it: most commands need neither.
    const { runner } = await import('node-pg-migrate');
    await runner({
      dbClient: client,
      dir,
      direction: options.direction,
      count: Number.POSITIVE_INFINITY,
      migrationsTable: TABLE,
      migrationsSchema: options.schema,
      createMigrationsSchema: true,
      singleTransaction: true,
      advisoryLockMode: 'wait',
      verbose: false,
      log: () => undefined,
    });
  });
}

/** Every file has been run, and nothing else: what is newer than these files is for the runner to judge. */
async function isUpToDate(client: pg.Client, dir: string, schema: string): Promise<boolean> {
  const table = `${quoteIdentifier(schema)}.${TABLE}`;
  const [found] = (
    await client.query<{ there: boolean }>('SELECT to_regclass($1) IS NOT NULL AS there', [table])
  ).rows;
  if (found?.there !== true) return false;
  const { rows } = await client.query<{ name: string }>(`SELECT name FROM ${table}`);
  const files = (await readdir(dir)).map((file) => path.parse(file).name);
  const run = new Set(rows.map(({ name }) => name));
  return files.length === run.size && files.every((file) => run.has(file));
}

/** Absolute path of a folder of migrations, beside the source or inside the published package. */
export function migrationsFolder(folder: string): string {
  return fileURLToPath(new URL(`../../migrations/${folder}`, import.meta.url));
}
