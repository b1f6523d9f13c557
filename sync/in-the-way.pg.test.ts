// Parked rows that are in each other's way: unique values that they have taken over from each other, keys
// that were used again. No order of writing them is allowed, and nobody has to be asked for all that.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { rawRows } from '../core/postgres/connect.ts';
import { appliersOf, letters } from '../test/support/mapped.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';
import { standIn } from './domain/stand-in.ts';
import { rereadLetters, retryLetters } from './letter-box.ts';

let pair: Pair;
let sync: RunningSync;

beforeEach(async () => {
  pair = await createPair();
  await pair.monolith.query(
    `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', 1 FROM generate_series(1, 10) i`,
  );
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
  await streaming(pair, 'to');
});

afterEach(async () => {
  await sync.stop();
  await pair.close();
});

/** Numbers go round, each by way of one that nobody has. */
const ROUND = `
  UPDATE prd SET no = 'between' WHERE prd_id = 1;
  UPDATE prd SET no = 'N1' WHERE prd_id = 2;
  UPDATE prd SET no = 'N2' WHERE prd_id = 3;
  UPDATE prd SET no = 'N3' WHERE prd_id = 1;`;

test('rows that are read again take unique values over from each other', async () => {
  await pair.monolith.query(`UPDATE prd SET sts = 'Q' WHERE prd_id < 4`);
  await letters(pair, 3);
  await pair.monolith.query(`${ROUND} UPDATE prd SET sts = 'A' WHERE prd_id < 4`);
  await letters(pair, 10);
  await rereadLetters('catalog', appliersOf(pair));
  await letters(pair, 0);
  await equal(pair);
});

test('parked rows take them over when they are tried again, beside one that is still refused', async () => {
  await pair.service.query(
    `ALTER TABLE product ADD CONSTRAINT cheap CHECK (price_cents < 100000), ADD CONSTRAINT good CHECK (name <> 'bad')`,
  );
  await pair.monolith.query('UPDATE prd SET prc = 5000 WHERE prd_id < 4');
  await pair.monolith.query(`UPDATE prd SET nm = 'bad' WHERE prd_id IN (4, 5)`);
  await letters(pair, 5);
  // The fifth wants what the fourth keeps.
  await pair.monolith.query(`${ROUND}
    UPDATE prd SET no = 'N5 and 4' WHERE prd_id = 4; UPDATE prd SET no = 'N4', nm = 'good' WHERE prd_id = 5`);
  await letters(pair, 11);
  await pair.service.query('ALTER TABLE product DROP CONSTRAINT cheap');
  await retryLetters('catalog', appliersOf(pair));
  const left = await letters(pair, 4);
  expect(left.map(({ keys }) => keys[0]?.[0])).toEqual(['4', '5', '4', '5']);
  const { rows } = await pair.service.query('SELECT sku FROM product WHERE id < 4 ORDER BY id');
  expect(rows).toEqual([{ sku: 'N3' }, { sku: 'N1' }, { sku: 'N2' }]);
  await pair.monolith.query(`UPDATE prd SET nm = 'good' WHERE prd_id = 4`);
  await letters(pair, 5);
  await retryLetters('catalog', appliersOf(pair));
  await letters(pair, 0);
  await equal(pair);
});

test('what waits for another row to let go of its unique value is tried again by itself', async () => {
  await pair.service.query(`ALTER TABLE product ADD CONSTRAINT cheap CHECK (price_cents < 100000)`);
  await pair.monolith.query(`UPDATE prd SET prc = 5000, no = 'let go' WHERE prd_id = 1`);
  await pair.monolith.query(`UPDATE prd SET no = 'N1' WHERE prd_id = 2`);
  await letters(pair, 2);
  await pair.monolith.query(`UPDATE prd SET prc = 5 WHERE prd_id = 1`);
  await letters(pair, 0);
  await equal(pair);
});

test('a row that came anew takes the place of the old one where others point to it by now', async () => {
  await pair.monolith.query(`INSERT INTO cat VALUES (1, 'old')`);
  await equal(pair, async () => ({
    monolith: (await pair.monolith.query('SELECT nm AS title FROM cat')).rows,
    service: (await pair.service.query('SELECT title FROM category')).rows,
  }));
  await pair.service.query(`
    ALTER TABLE category ADD hits integer NOT NULL DEFAULT 0; UPDATE category SET hits = 7;
    CREATE TABLE banner (category_id integer REFERENCES category); INSERT INTO banner VALUES (1)`);
  await pair.monolith.query(`DELETE FROM cat WHERE cat_id = 1`);
  await letters(pair, 1);
  await pair.monolith.query(
    `INSERT INTO cat VALUES (1, 'new'); UPDATE prd SET cat_id = 1 WHERE prd_id = 1`,
  );
  // By now the row may have been tried again, and be there already.
  await equal(pair);
  await pair.service.query('DELETE FROM banner');
  await retryLetters('catalog', appliersOf(pair));
  await letters(pair, 0);
  const { rows } = await pair.service.query('SELECT title, hits FROM category');
  expect(rows).toEqual([{ title: 'new', hits: 0 }]);
});

test('a part that goes with its row waits for that, and for nobody else', async () => {
  await pair.monolith.query(`
    UPDATE prd SET dsc = 't'; ALTER TABLE prd ALTER COLUMN dsc SET NOT NULL, ADD CONSTRAINT cheap CHECK (prc < 1000)`);
  await equal(pair);
  await advanceTo(pair, 'cutover');
  // The third is refused, and the transaction is looked at change by change for it.
  await pair.service.query(`
    BEGIN; DELETE FROM product_text WHERE product_id = 1; UPDATE product SET price_cents = 500000 WHERE id = 3;
    DELETE FROM product WHERE id = 1; COMMIT`);
  // All three are parked at once, and two of them no longer than until the next look.
  expect(await letters(pair, 1)).toMatchObject([{ keys: [['3']] }]);
});

test('children go before their parents, in whatever order a source that looks at the end deletes them', async () => {
  await pair.monolith.query(`
    ALTER TABLE prd ALTER CONSTRAINT prd_cat_id_fkey DEFERRABLE INITIALLY DEFERRED;
    INSERT INTO cat VALUES (1, 'c'); UPDATE prd SET cat_id = 1 WHERE prd_id < 4`);
  await equal(pair);
  await pair.monolith.query(
    'BEGIN; DELETE FROM cat; DELETE FROM prd WHERE prd_id < 4; COMMIT; BEGIN; INSERT INTO cat VALUES (2, $$d$$); COMMIT',
  );
  await equal(pair);
  const { rows } = await pair.service.query('SELECT is_called FROM banyan.parked_id_seq');
  expect(rows).toEqual([{ is_called: false }]);
});

test('columns of many types have values that stand in', async () => {
  const types = [
    ...['text', 'character varying(7)', 'character(3)', 'smallint', 'integer', 'bigint'],
    ...['numeric', 'numeric(12,2)', 'numeric(5)', 'uuid', 'bytea', 'date'],
    ...['timestamp without time zone', 'timestamp(3) with time zone'],
  ];
  for (const type of types) {
    const one = `(${standIn(type) ?? 'NULL'})::${type}`;
    const text = `SELECT count(DISTINCT v), count(v) FROM (SELECT ${one} AS v FROM generate_series(1, 3)) AS s`;
    expect([type, ...(await rawRows(pair.service, text, []))]).toEqual([type, ['3', '3']]);
  }
});
