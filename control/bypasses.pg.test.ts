// Notes of two capabilities in one database: each takes away its own.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { withClient } from '../core/postgres/connect.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { Bypasses } from './bypasses.ts';
import type { TableMap } from './definition.ts';
import { Participant } from './participant.ts';

let pair: Pair;

beforeEach(async () => {
  pair = await createPair();
});

afterEach(async () => {
  await pair.close();
});

async function open(
  capability: string,
  table: string,
): Promise<{ side: Participant; bypasses: Bypasses }> {
  const logins = pair.connections.monolith.database;
  if (!logins) throw new Error('no logins');
  const all = pair.migration.capabilities['catalog']?.tables ?? [];
  const tables: TableMap[] = all.filter(({ monolith }) => monolith.includes(table));
  const labels = { monolith: 'the monolith', service: 'service "catalog"' };
  const side = await Participant.open({ capability, side: 'monolith', labels, logins, tables });
  return { side, bypasses: new Bypasses(side, tables) };
}

test('a capability that leaves takes its own notes along, and another one’s go on', async () => {
  const products = await open('products', 'prd');
  const categories = await open('categories', 'cat');
  const since = await products.bypasses.now();
  for (const { bypasses } of [products, categories]) {
    await bypasses.prepare(1);
    expect(await bypasses.begin(1)).toBeDefined();
  }
  const write = (text: string): Promise<unknown> =>
    withClient(pair.monolithAppUrl, SESSION, (client) => client.query(text));
  await write(`INSERT INTO cat VALUES (1, 'one')`);
  await write(`INSERT INTO prd (no, nm, prc) VALUES ('A', 'a', 1)`);
  await products.side.remove(1);
  await write(`INSERT INTO cat VALUES (2, 'two')`);
  await write(`INSERT INTO prd (no, nm, prc) VALUES ('B', 'b', 1)`);
  const { rows } = await pair.monolith.query(
    `SELECT DISTINCT tgrelid::regclass::text AS table FROM pg_trigger WHERE tgname LIKE 'banyan%'`,
  );
  expect(rows).toEqual([{ table: 'cat' }]);
  const notes = await pair.monolith.query(
    'SELECT capability, count(*)::int AS notes FROM banyan.bypass GROUP BY 1',
  );
  expect(notes.rows).toEqual([{ capability: 'categories', notes: 2 }]);
  const until = await categories.bypasses.now();
  expect(await categories.bypasses.stop(1)).toBe(true);
  expect(await categories.bypasses.collect(1, since, until)).toMatchObject([
    { table: 'public.cat', operation: 'insert', transactions: 2 },
  ]);
  await categories.side.remove(1);
  const { rows: left } = await pair.monolith.query(
    `SELECT 1 FROM pg_namespace WHERE nspname = 'banyan'`,
  );
  expect(left).toEqual([]);
  for (const { side } of [products, categories]) await side.close();
});
