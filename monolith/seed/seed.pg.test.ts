import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { withClient } from '../../test/contract/sample.ts';
import { createDatabase, type TestDatabase } from '../../test/support/postgres.ts';
import { migrateMonolith } from '../migrate.ts';
import { DEFAULT_SIZE, seed } from './load.ts';

const TABLES = ['prdcat', 'prd', 'cust', 'ord', 'ordl', 'stkmv', 'inv', 'pay'];

let one: TestDatabase;
let two: TestDatabase;
let counts: Record<string, number>;
let elapsedMs: number;

beforeAll(async () => {
  one = await createDatabase('monolith');
  two = await createDatabase('monolith');
  await migrateMonolith(one.url);
  await migrateMonolith(two.url);
  const started = performance.now();
  counts = await withClient(one.url, (client) => seed(client, DEFAULT_SIZE));
  elapsedMs = performance.now() - started;
  await withClient(two.url, (client) => seed(client, DEFAULT_SIZE));
});

afterAll(async () => {
  await one.drop();
  await two.drop();
});

const query = (database: TestDatabase, sql: string) =>
  withClient(database.url, async (client) => {
    const result = await client.query<Record<string, unknown>>(sql);
    return result.rows;
  });

/** One hash a table over the text of every row, in the order of the rows' text. */
async function fingerprint(database: TestDatabase): Promise<unknown> {
  const hashes = TABLES.map(
    (table) =>
      `(SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM ${table} t) AS ${table}`,
  );
  return (await query(database, `SELECT ${hashes.join(', ')}`))[0];
}

test('gives the same rows every time', async () => {
  const first = await fingerprint(one);
  expect(await fingerprint(two)).toEqual(first);
  // The same on every machine, too: a new value here is a changed seed, and should be meant.
  expect(first).toMatchSnapshot();
});

test('fills a shop of the promised size, within a minute on any machine', async () => {
  expect(counts).toMatchObject({ prd: 10_000, cust: 2_000, ord: 3_000 });
  expect(counts['prdcat']).toBeGreaterThanOrEqual(38);
  expect(elapsedMs).toBeLessThan(60_000);
  const rows = await query(
    one,
    `SELECT (SELECT count(*)::int FROM prd WHERE stk_qty >= 1000) AS stocked,
            (SELECT count(*)::int FROM prd WHERE octet_length(prd_dsc) > 8000) AS long,
            (SELECT pg_relation_size(reltoastrelid) > 0 FROM pg_class WHERE relname = 'prd') AS toast`,
  );
  expect(rows[0]?.['stocked']).toBeGreaterThan(9_500);
  expect(rows[0]).toMatchObject({ long: 400, toast: true });
});

test('adds up: every order is the sum of its lines, every paid invoice is paid', async () => {
  expect(
    await query(
      one,
      `SELECT ord_id FROM ord WHERE tot <> (SELECT sum(qty * prc) FROM ordl l WHERE l.ord_id = ord.ord_id)
       UNION ALL
       SELECT inv_id FROM inv WHERE sts = 'P' AND amt <> (SELECT sum(amt) FROM pay p WHERE p.inv_id = inv.inv_id)`,
    ),
  ).toEqual([]);
});

test('leaves every sequence behind the greatest id', async () => {
  const rows = await query(
    two,
    `SELECT nextval('seq_prdcat') = (SELECT max(cat_id) + 1 FROM prdcat) AS prdcat,
            nextval('seq_prd') = (SELECT max(prd_id) + 1 FROM prd) AS prd,
            nextval('seq_cust') = (SELECT max(cust_id) + 1 FROM cust) AS cust,
            nextval('seq_ord') = (SELECT max(ord_id) + 1 FROM ord) AS ord,
            nextval('seq_stkmv') = (SELECT max(stkmv_id) + 1 FROM stkmv) AS stkmv,
            nextval('seq_inv') = (SELECT max(inv_id) + 1 FROM inv) AS inv,
            nextval('seq_pay') = (SELECT max(pay_id) + 1 FROM pay) AS pay`,
  );
  expect(new Set(Object.values(rows[0] ?? {}))).toEqual(new Set([true]));
});
