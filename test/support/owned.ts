// Tables beside the mapped ones.
import type { Pair } from './pair.ts';

/** Another table at the monolith, whose owner is that of the mapped ones. */
export async function createOwned(pair: Pair, table: string): Promise<void> {
  await pair.monolith.query(`
    CREATE TABLE ${table} (id integer PRIMARY KEY);
    DO $$ BEGIN
      EXECUTE format('ALTER TABLE ${table} OWNER TO %I', (SELECT tableowner FROM pg_tables WHERE tablename = 'prd'));
    END $$`);
}
