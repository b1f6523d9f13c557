import { expect, test } from '@jest/globals';
import { withClient } from '../test/contract/sample.ts';
import { createDatabase } from '../test/support/postgres.ts';
import { migrateMonolith } from './migrate.ts';
import { seed } from './seed/load.ts';

const OBJECTS = `
  SELECT relkind::text || ' ' || relname AS name FROM pg_class
  WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'pgmigrations%' ORDER BY 1`;

const objects = (url: string) =>
  withClient(url, async (client) =>
    (await client.query<{ name: string }>(OBJECTS)).rows.map((row) => row.name),
  );

test('migrates up, down to nothing, and up again with the same result', async () => {
  const database = await createDatabase('monolith');
  try {
    await migrateMonolith(database.url);
    const first = await objects(database.url);
    expect(first).toEqual(expect.arrayContaining(['r prd', 'r ordl', 'r inv', 'S seq_prd']));
    await migrateMonolith(database.url);
    await withClient(database.url, (client) =>
      seed(client, { products: 50, customers: 5, orders: 10 }),
    );
    await migrateMonolith(database.url, 'down');
    expect(await objects(database.url)).toEqual([]);
    await migrateMonolith(database.url);
    expect(await objects(database.url)).toEqual(first);
  } finally {
    await database.drop();
  }
});
