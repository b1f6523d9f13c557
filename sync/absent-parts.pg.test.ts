// Columns of one row that a part of a split feeds, and that may not be null: what the mapping gives them
// where that part has no row says the same as no row, in both directions.
import { afterEach, expect, test } from '@jest/globals';
import { CLEAN, letters, verified, viewsOf } from '../test/support/mapped.ts';
import { createPair, TABLES, type Pair, type PairOptions } from '../test/support/pair.ts';
import { conflicts, fullIdentity, settled, share } from '../test/support/sharing.ts';
import { advanceTo, equal, startSync, type RunningSync, type Views } from '../test/support/sync.ts';
import { preflight } from './preflight.ts';

let pair: Pair;
let sync: RunningSync | undefined;

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

/** Who says what stands for no text: the mapping, or the column's own default. */
type Says = 'mapping' | 'default';

async function shop(says: Says, capability: PairOptions['capability'] = {}): Promise<void> {
  const [categories, products] = TABLES ?? [];
  if (!categories || !products) throw new Error('no tables');
  const mapped =
    says === 'default' ? products : { ...products, defaults: { monolith: { dsc: '-' } } };
  pair = await createPair({ capability: { ...capability, tables: [categories, mapped] } });
  await pair.monolith.query(`
    ALTER TABLE prd ALTER COLUMN dsc SET NOT NULL;
    ${says === 'default' ? `ALTER TABLE prd ALTER COLUMN dsc SET DEFAULT '-';` : ''}
    INSERT INTO prd (no, nm, prc, dsc) SELECT 'N' || i, 'n', 1, CASE i WHEN 1 THEN '-' ELSE 't' END FROM generate_series(1, 6) i`);
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
}

const same = (): Views =>
  viewsOf(
    pair,
    `SELECT prd_id::int AS id, nullif(dsc, '-') AS body FROM prd ORDER BY 1`,
    `SELECT id::int, nullif(body, '-') AS body FROM product LEFT JOIN product_text ON product_id = id ORDER BY 1`,
  );

const texts = async (): Promise<unknown[]> =>
  (await pair.monolith.query<object>('SELECT prd_id::int AS id, dsc FROM prd ORDER BY 1')).rows;

const BOTH: readonly Says[] = ['mapping', 'default'];

test.each(BOTH)('a part that goes alone leaves what the %s has for none', async (says) => {
  await shop(says);
  const found = await preflight(pair.migration, pair.connections);
  expect(found.map(({ what }) => what).join()).not.toMatch(/column dsc/);
  await advanceTo(pair, 'cutover');
  await pair.service.query(`
    DELETE FROM product_text WHERE product_id IN (1, 2);
    INSERT INTO product (id, sku, name, price_cents, state) VALUES (7, 'new', 'new', 1, 'active');
    BEGIN; DELETE FROM product_text WHERE product_id = 3; UPDATE product SET id = 30 WHERE id = 3; COMMIT;
    BEGIN; DELETE FROM product_text WHERE product_id = 4; DELETE FROM product WHERE id = 4;
    INSERT INTO product (id, sku, name, price_cents, state) VALUES (4, 'N4', 'again', 1, 'active'); COMMIT`);
  await equal(pair, same());
  await letters(pair, 0);
  expect(await texts()).toEqual([
    { id: 1, dsc: '-' },
    { id: 2, dsc: '-' },
    { id: 4, dsc: '-' },
    { id: 5, dsc: 't' },
    { id: 6, dsc: 't' },
    { id: 7, dsc: '-' },
    { id: 30, dsc: '-' },
  ]);
  expect(await verified(pair)).toEqual(CLEAN);
  await pair.service.query(`INSERT INTO product_text VALUES (2, 'again')`);
  await equal(pair, same());
  await pair.service.query('TRUNCATE product_text');
  await equal(pair, same());
  expect((await texts()).every((row) => (row as { dsc: string }).dsc === '-')).toBe(true);
  await letters(pair, 0);
  expect(await verified(pair)).toEqual(CLEAN);
});

test.each(BOTH)('under a write canary what the %s has stands for none as well', async (says) => {
  await shop(says, { canary: { writes: true } });
  await fullIdentity(pair);
  await advanceTo(pair, 'canary');
  await share(pair);
  await pair.service.query(`
    DELETE FROM product_text WHERE product_id = 2;
    BEGIN; INSERT INTO product (id, sku, name, price_cents, state) VALUES (7, 'new', 'new', 1, 'active');
    INSERT INTO product_text VALUES (7, 'text'); COMMIT;
    INSERT INTO product (id, sku, name, price_cents, state) VALUES (8, 'bare', 'bare', 1, 'active');
    BEGIN; DELETE FROM product_text WHERE product_id = 3; UPDATE product SET id = 30 WHERE id = 3; COMMIT`);
  await settled(pair);
  await equal(pair, same());
  expect(await conflicts(pair)).toEqual([]);
  expect((await texts()).slice(1)).toEqual([
    { id: 2, dsc: '-' },
    { id: 4, dsc: 't' },
    { id: 5, dsc: 't' },
    { id: 6, dsc: 't' },
    { id: 7, dsc: 'text' },
    { id: 8, dsc: '-' },
    { id: 30, dsc: '-' },
  ]);
});
