import { expect, test } from '@jest/globals';
import { withClient } from '../../test/contract/sample.ts';
import { createDatabase } from '../../test/support/postgres.ts';
import { migrateCatalog } from './migrate.ts';

const OBJECTS = `
  SELECT relkind::text || ' ' || relname AS name FROM pg_class
  WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'pgmigrations%' ORDER BY 1`;

const objects = (url: string) =>
  withClient(url, async (client) =>
    (await client.query<{ name: string }>(OBJECTS)).rows.map((row) => row.name),
  );

test('migrates up, down to nothing, and up again with the same result', async () => {
  const database = await createDatabase('catalog');
  try {
    await migrateCatalog(database.url);
    const first = await objects(database.url);
    expect(first).toEqual(
      expect.arrayContaining(['r category', 'r product', 'r product_description']),
    );
    await migrateCatalog(database.url, 'down');
    expect(await objects(database.url)).toEqual([]);
    await migrateCatalog(database.url);
    expect(await objects(database.url)).toEqual(first);
  } finally {
    await database.drop();
  }
});
