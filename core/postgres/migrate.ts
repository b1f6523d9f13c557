// Runs the node-pg-migrate migrations of one folder. The bookkeeping table lives in `schema`, so
// that dropping the schema leaves nothing behind.
import { fileURLToPath } from 'node:url';
import { withClient } from './connect.ts';

export interface MigrateOptions {
  readonly url: string;
  /** A folder of `migrations/`: control, participant, monolith, … */
  readonly folder: string;
  readonly direction: 'up' | 'down';
  /** Schema of the bookkeeping table; made when missing. */
  readonly schema: string;
}

/** Migrates to the newest version, or all the way down. Idempotent; concurrent runs wait for each other. */
export async function migrate(options: MigrateOptions): Promise<void> {
  // It brings a compiler with it: most commands need neither.
  const { runner } = await import('node-pg-migrate');
  await withClient(options.url, { applicationName: 'banyan-migrate' }, async (client) => {
    await runner({
      dbClient: client,
      dir: migrationsFolder(options.folder),
      direction: options.direction,
      count: Number.POSITIVE_INFINITY,
      migrationsTable: 'pgmigrations',
      migrationsSchema: options.schema,
      createMigrationsSchema: true,
      singleTransaction: true,
      advisoryLockMode: 'wait',
      verbose: false,
      log: () => undefined,
    });
  });
}

/** Absolute path of a folder of migrations, beside the source or inside the published package. */
export function migrationsFolder(folder: string): string {
  return fileURLToPath(new URL(`../../migrations/${folder}`, import.meta.url));
}
