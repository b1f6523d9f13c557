// A write canary on real databases: both sides write the same rows, the owner judges, both end equal.
import { afterEach, expect, test } from '@jest/globals';
import type pg from 'pg';
import { waitFor } from '../core/lifecycle.ts';
import type { ConflictPolicy } from '../control/domain/conflicts.ts';
import { conflicts, openCanary, settled, unshare, type Canary } from '../test/support/sharing.ts';
import { advanceTo, equal } from '../test/support/sync.ts';
import { listLetters, retryLetters, type Appliers } from './letter-box.ts';

let canary: Canary;
let shop: pg.Client;
let catalog: pg.Client;

afterEach(async () => {
  await canary.close();
});

async function begin(policy?: ConflictPolicy): Promise<void> {
  canary = await openCanary(policy);
  ({ shop, catalog } = canary);
}

test('both sides write, each other’s rows arrive, and nothing conflicts', async () => {
  await begin();
  await catalog.query(`UPDATE product SET name = 'service' WHERE id = 1`);
  await shop.query(`UPDATE prd SET nm = 'owner' WHERE prd_id = 2`);
  await catalog.query(
    `INSERT INTO product (id, sku, name, price_cents, state) VALUES (100, 'new', 'new', 100, 'active')`,
  );
  await catalog.query(`DELETE FROM product WHERE id = 3`);
  await settled(canary.pair);
  await equal(canary.pair);
  expect(await conflicts(canary.pair)).toEqual([]);
  const { rows } = await shop.query(
    'SELECT nm FROM prd WHERE prd_id IN (1, 2, 3, 100) ORDER BY prd_id',
  );
  expect(rows).toEqual([{ nm: 'service' }, { nm: 'owner' }, { nm: 'new' }]);
});

test('a hot row that only the service writes meets no conflict and loses no write, whatever values come again', async () => {
  await begin();
  for (let turn = 0; turn < 300; turn++)
    await catalog.query(
      `UPDATE product SET state = CASE state WHEN 'active' THEN 'discontinued' ELSE 'active' END,
         price_cents = price_cents + CASE state WHEN 'active' THEN 100 ELSE -100 END WHERE id = 1`,
    );
  await catalog.query(`UPDATE product SET name = 'last' WHERE id = 1`);
  await settled(canary.pair);
  await equal(canary.pair);
  expect(await conflicts(canary.pair)).toEqual([]);
  expect((await shop.query(`SELECT nm, sts, prc FROM prd WHERE prd_id = 1`)).rows).toEqual([
    { nm: 'last', sts: 'A', prc: '1.00' },
  ]);
});

test('the canary ends with one writer again', async () => {
  await begin();
  await catalog.query(`UPDATE product SET name = 'before'`);
  await expect(
    canary.pair.coordinator().move({ capability: 'catalog', event: 'advance' }),
  ).rejects.toMatchObject({ code: 'MOVE_NOT_ALLOWED' });
  await unshare(canary.pair);
  await equal(canary.pair);
  await expect(catalog.query(`UPDATE product SET name = 'after'`)).rejects.toMatchObject({
    code: 'BN001',
  });
  await shop.query(`UPDATE prd SET nm = 'owner again'`);
  await equal(canary.pair);
  await advanceTo(canary.pair, 'cutover');
  await catalog.query(`UPDATE product SET name = 'at last'`);
  await equal(canary.pair);
});

test('the owner’s row stands, both rows are recorded, and what both made alike is no conflict', async () => {
  await begin();
  await canary.atOnce('shop', {
    shop: `UPDATE prd SET nm = 'owner' WHERE prd_id = 1; UPDATE prd SET nm = 'alike' WHERE prd_id = 2;
     DELETE FROM prd WHERE prd_id = 3; DELETE FROM prd WHERE prd_id = 4;
     UPDATE prd SET stk = 5, upd = now() WHERE prd_id = 6;
     INSERT INTO prd (prd_id, no, nm, prc) VALUES (50, 'A50', 'owner', 1)`,
    catalog: `UPDATE product SET name = 'service' WHERE id = 1; UPDATE product SET name = 'alike' WHERE id = 2;
     UPDATE product SET name = 'service' WHERE id = 3; DELETE FROM product WHERE id = 4;
     UPDATE product SET name = 'service' WHERE id = 5; UPDATE product SET name = 'service' WHERE id = 6;
     INSERT INTO product (id, sku, name, price_cents, state) VALUES (50, 'B50', 'service', 1, 'active')`,
  });
  expect(await canary.names([1, 2, 3, 4, 5, 6, 50])).toEqual([
    ...['owner', 'alike', 'service', 'service', 'owner'],
  ]);
  const judged = (await conflicts(canary.pair)).reverse();
  expect(judged).toMatchObject([
    {
      ...{ key: { prd_id: '1' }, operation: 'update', reason: 'different', verdict: 'owner' },
      ...{ table: 'public.prd', source: 'public.product', policy: 'owner-wins', ownerAt: null },
      owner: { nm: 'owner', prc: '1.00' },
      incoming: { nm: 'service', prc: '1' },
      before: { nm: 'n', prc: '1' },
    },
    { key: { prd_id: '3' }, operation: 'update', reason: 'missing', owner: null },
    { key: { prd_id: '50' }, operation: 'insert', reason: 'exists', before: null },
  ]);
  expect(judged).toHaveLength(3);
  // After a conflict the row is an ordinary one again.
  await catalog.query(`UPDATE product SET name = 'on top' WHERE id IN (1, 50)`);
  await settled(canary.pair);
  await equal(canary.pair);
  expect(await canary.names([1, 50])).toEqual(['on top', 'on top']);
  expect(await conflicts(canary.pair)).toHaveLength(3);
  const back = (await canary.pair.evidence.flows('catalog')).find(
    ({ direction }) => direction === 'back',
  );
  expect(back).toMatchObject({ conflicts: 3, parked: 0 });
});

test('keys that collide: the owner’s rows stay, and the service’s row gives way', async () => {
  await begin(() => 'service');
  await canary.atOnce('shop', {
    shop: `INSERT INTO prd (prd_id, no, nm, prc) VALUES (60, 'SAME', 'owner', 1); UPDATE prd SET no = 'FIVE' WHERE prd_id = 5`,
    catalog: `INSERT INTO product (id, sku, name, price_cents, state) VALUES (61, 'SAME', 'service', 1, 'active');
     UPDATE product SET sku = 'FIVE' WHERE id = 6`,
  });
  expect(await canary.names([5, 6, 60, 61])).toEqual(['n', 'n', 'owner']);
  // What is shown beside the service's row is the one that has its value.
  expect(await conflicts(canary.pair)).toMatchObject([
    {
      ...{ reason: 'unique', verdict: 'owner', operation: 'update', key: { prd_id: '6' } },
      ...{ owner: { prd_id: '5', no: 'FIVE' }, incoming: { prd_id: '6', no: 'FIVE' } },
    },
    {
      ...{ reason: 'unique', verdict: 'owner', operation: 'insert', key: { prd_id: '61' } },
      ...{ owner: { prd_id: '60', no: 'SAME', nm: 'owner' }, incoming: { no: 'SAME' } },
    },
  ]);
});

test('what another table of the owner needs comes back to the service', async () => {
  await begin();
  await shop.query('INSERT INTO ordl VALUES (1, 7)');
  await canary.atOnce('shop', {
    shop: 'DELETE FROM cat WHERE cat_id = 3',
    catalog: 'DELETE FROM product WHERE id = 7; UPDATE product SET category_id = 3 WHERE id = 8',
  });
  expect((await catalog.query('SELECT id::int FROM product WHERE id = 7')).rows).toEqual([
    { id: 7 },
  ]);
  expect((await conflicts(canary.pair)).map(({ reason }) => reason)).toEqual([
    'foreign key',
    'foreign key',
  ]);
});

test('parts of a row are judged by themselves', async () => {
  await begin();
  await canary.atOnce('shop', {
    shop: `UPDATE prd SET nm = 'owner' WHERE prd_id = 1; UPDATE prd SET dsc = 'owner' WHERE prd_id = 2;
     UPDATE prd SET nm = 'owner', dsc = 'owner' WHERE prd_id = 3`,
    catalog: `UPDATE product_text SET body = 'service' WHERE product_id = 1; UPDATE product SET name = 'service' WHERE id = 2;
     DELETE FROM product_text WHERE product_id = 3; DELETE FROM product_text WHERE product_id = 4;
     UPDATE product_text SET product_id = 4 WHERE product_id = 5`,
  });
  const { rows } = await shop.query('SELECT nm, dsc FROM prd WHERE prd_id < 6 ORDER BY prd_id');
  expect(rows).toEqual([
    { nm: 'owner', dsc: 'service' },
    { nm: 'service', dsc: 'owner' },
    { nm: 'owner', dsc: 'owner' },
    { nm: 'n', dsc: 'text' },
    { nm: 'n', dsc: null },
  ]);
  expect((await conflicts(canary.pair)).map(({ source, key }) => [source, key])).toEqual([
    ['public.product_text', { prd_id: '3' }],
  ]);
});

test('a row that the owner deletes and puts anew brings the parts along that look as before', async () => {
  await begin();
  await shop.query(
    `BEGIN; DELETE FROM prd WHERE prd_id = 5;
     INSERT INTO prd (prd_id, no, nm, prc, dsc) VALUES (5, 'N5', 'anew', 2, 'text'); COMMIT`,
  );
  await settled(canary.pair);
  await equal(canary.pair);
  const { rows } = await catalog.query('SELECT body FROM product_text WHERE product_id = 5');
  expect(rows).toEqual([{ body: 'text' }]);
});

test('a row whose key the service changes goes on with what the owner alone knows of it', async () => {
  await begin();
  await shop.query(`UPDATE prd SET stk = prd_id * 10, upd = '2020-01-01'`);
  await settled(canary.pair);
  const move = (from: number, to: number): string => `
    DELETE FROM product_text WHERE product_id = ${from}; UPDATE product SET id = ${to} WHERE id = ${from};
    INSERT INTO product_text VALUES (${to}, 'moved');`;
  await catalog.query(`BEGIN; ${move(1, 71)} COMMIT`);
  await settled(canary.pair);
  await equal(canary.pair);
  expect(await conflicts(canary.pair)).toEqual([]);
  const { rows } = await shop.query(
    `SELECT stk, dsc, upd < '2021-01-01' AS old FROM prd WHERE prd_id = 71`,
  );
  expect(rows).toEqual([{ stk: 10, dsc: 'moved', old: true }]);
  // A row that the owner has changed meanwhile stays where it is.
  await canary.atOnce('shop', {
    shop: `UPDATE prd SET nm = 'owner' WHERE prd_id = 2`,
    catalog: `BEGIN; ${move(2, 72)} COMMIT`,
  });
  expect(await canary.names([2, 72])).toEqual(['owner']);
});

test('a change that the owner refuses for another reason is parked, and its row waits', async () => {
  await begin();
  const appliers: Appliers = {
    to: canary.pair.connections.services['catalog']?.database?.applier ?? '',
    back: canary.pair.connections.monolith.database?.applier ?? '',
  };
  await canary.pair.monolith.query('ALTER TABLE prd ADD CONSTRAINT cheap CHECK (prc < 1000)');
  await catalog.query('UPDATE product SET price_cents = 500000 WHERE id IN (1, 2)');
  await catalog.query(`UPDATE product SET name = 'waits' WHERE id = 1`);
  await catalog.query(`UPDATE product SET name = 'flows on' WHERE id = 3`);
  await waitFor(async () => (await canary.names([3]))[0] === 'flows on', {
    timeoutMs: 30_000,
    what: 'other rows to flow on',
  });
  expect(await listLetters('catalog', appliers)).toMatchObject([
    { direction: 'back', keys: [['1']], error: expect.stringContaining('cheap') as unknown },
    { direction: 'back', keys: [['2']], error: expect.stringContaining('cheap') as unknown },
    { direction: 'back', keys: [['1']], error: null },
  ]);
  // Meanwhile the owner writes one of them: the retry finds a conflict.
  await shop.query(`UPDATE prd SET nm = 'owner' WHERE prd_id = 2`);
  await canary.pair.monolith.query('ALTER TABLE prd DROP CONSTRAINT cheap');
  await retryLetters('catalog', appliers);
  await waitFor(async () => (await listLetters('catalog', appliers)).length === 0, {
    timeoutMs: 30_000,
    what: 'the retry',
  });
  await settled(canary.pair);
  await equal(canary.pair);
  expect(await canary.names([1, 2])).toEqual(['waits', 'owner']);
  expect(await conflicts(canary.pair)).toMatchObject([{ key: { prd_id: '2' }, verdict: 'owner' }]);
});

test('nobody may empty a table while both sides write it', async () => {
  await begin();
  const refused = { code: 'BN001', message: expect.stringContaining('both sides') as unknown };
  await expect(shop.query('TRUNCATE prd CASCADE')).rejects.toMatchObject(refused);
  await expect(catalog.query('TRUNCATE product_text')).rejects.toMatchObject(refused);
  await unshare(canary.pair);
  await shop.query('TRUNCATE prd CASCADE');
  await equal(canary.pair);
});

test('a decision whose applier dies before the commit is taken again, once', async () => {
  await begin();
  await canary.pair.monolith.query(`
    CREATE SEQUENCE deaths;
    CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS
      $$ BEGIN IF nextval('deaths') <= 2 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NULL; END $$;
    CREATE TRIGGER die AFTER INSERT ON banyan.conflict FOR EACH ROW EXECUTE FUNCTION die()`);
  await canary.atOnce('shop', {
    shop: `UPDATE prd SET nm = 'owner' WHERE prd_id = 1`,
    catalog: `UPDATE product SET name = 'service' WHERE id IN (1, 2)`,
  });
  expect(await canary.names([1, 2])).toEqual(['owner', 'service']);
  expect(await conflicts(canary.pair)).toHaveLength(1);
  expect((await canary.pair.monolith.query('SELECT last_value::int FROM deaths')).rows).toEqual([
    { last_value: 3 },
  ]);
});

test('a row that the owner inserts while its absence is judged is not lost', async () => {
  await begin();
  const { pair, gate } = canary;
  // Holds the applier between its judgement and its commit.
  await pair.monolith.query(`
    CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END $$;
    CREATE TRIGGER hold AFTER INSERT ON banyan.conflict FOR EACH ROW EXECUTE FUNCTION hold();
    SELECT pg_advisory_lock(42)`);
  gate.shut();
  await shop.query('DELETE FROM prd WHERE prd_id = 7');
  await catalog.query(`UPDATE product SET name = 'service' WHERE id = 7`);
  await shop.query(`BEGIN; INSERT INTO prd (prd_id, no, nm, prc) VALUES (7, 'A7', 'again', 1)`);
  gate.open();
  await waitFor(
    async () =>
      (
        await pair.monolith.query(
          `SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`,
        )
      ).rows.length > 0,
    { timeoutMs: 30_000, what: 'the applier to be between judgement and commit' },
  );
  await shop.query('COMMIT');
  await pair.monolith.query('SELECT pg_advisory_unlock(42)');
  await settled(pair);
  await equal(pair);
  expect(await canary.names([7])).toEqual(['again']);
  expect(await conflicts(pair)).toMatchObject([{ reason: 'missing' }]);
});
