// Who wins a conflict under each policy, and what it takes to enter a write canary.
import { afterEach, expect, test } from '@jest/globals';
import type pg from 'pg';
import type { Conflict, ConflictPolicy } from '../control/domain/conflicts.ts';
import { createPair, type PairOptions } from '../test/support/pair.ts';
import {
  conflicts,
  fullIdentity,
  openCanary,
  settled,
  share,
  type Canary,
} from '../test/support/sharing.ts';
import { advanceTo, startSync } from '../test/support/sync.ts';

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

test('the last writer wins, whoever it is, over deleted rows too', async () => {
  await begin('last-writer-wins');
  await canary.atOnce('shop', {
    shop: `UPDATE prd SET nm = 'owner' WHERE prd_id IN (1, 2); DELETE FROM cat WHERE cat_id = 1; DELETE FROM prd WHERE prd_id = 3`,
    catalog: `UPDATE product SET name = 'service' WHERE id IN (1, 2); UPDATE category SET title = 'service' WHERE id = 1;
     UPDATE product SET name = 'service' WHERE id = 3`,
  });
  expect(await canary.names([1, 2, 3])).toEqual(['service', 'service']);
  expect((await shop.query('SELECT nm FROM cat WHERE cat_id = 1')).rows).toEqual([
    { nm: 'service' },
  ]);
  const judged = await conflicts(canary.pair);
  expect(judged.map(({ verdict, reason }) => [reason, verdict]).sort()).toEqual([
    ['different', 'service'],
    ['different', 'service'],
    // A product is split: what comes back would lack its text.
    ['incomplete', 'owner'],
    ['missing', 'service'],
  ]);
  expect(judged.every(({ ownerAt, incomingAt }) => ownerAt !== null && ownerAt < incomingAt)).toBe(
    true,
  );
  await canary.atOnce('catalog', {
    shop: `UPDATE prd SET nm = 'owner' WHERE prd_id = 1; DELETE FROM cat WHERE cat_id = 2`,
    catalog: `UPDATE product SET name = 'service 2' WHERE id = 1; UPDATE category SET title = 'service 2' WHERE id = 2`,
  });
  expect(await canary.names([1])).toEqual(['owner']);
  expect((await conflicts(canary.pair)).slice(0, 2).map(({ verdict }) => verdict)).toEqual([
    'owner',
    'owner',
  ]);
});

test('a row that the service wrote is as old at the owner as it was at the service', async () => {
  await begin('last-writer-wins');
  canary.gate.shut();
  await catalog.query(`UPDATE product SET name = 'first' WHERE id = 1`);
  const at = await time(catalog, 'product', 1);
  await catalog.query(`UPDATE product SET name = 'second' WHERE id = 2`);
  canary.gate.open();
  await settled(canary.pair);
  expect(Math.abs((await time(shop, 'prd', 1)) - at)).toBeLessThan(2);
  expect(await time(shop, 'prd', 2)).toBeGreaterThan(await time(shop, 'prd', 1));
});

test('a transaction that writes several parts of a row is as late for the second of them', async () => {
  await begin('last-writer-wins');
  await canary.atOnce('shop', {
    shop: `UPDATE prd SET dsc = 'owner' WHERE prd_id = 1`,
    catalog: `BEGIN; UPDATE product SET name = 'service' WHERE id = 1;
      UPDATE product_text SET body = 'service' WHERE product_id = 1; COMMIT`,
  });
  const { rows } = await shop.query('SELECT nm, dsc FROM prd WHERE prd_id = 1');
  expect(rows).toEqual([{ nm: 'service', dsc: 'service' }]);
  expect(await conflicts(canary.pair)).toMatchObject([
    { source: 'public.product_text', reason: 'different', verdict: 'service' },
  ]);
});

test('what the service wrote into one part makes the row no older than the owner has made it', async () => {
  await begin('last-writer-wins');
  await canary.atOnce('catalog', {
    catalog: `BEGIN; UPDATE product_text SET body = 'service' WHERE product_id = 1; COMMIT; SELECT pg_sleep(0.01);
      BEGIN; UPDATE product SET name = 'service' WHERE id = 1; COMMIT`,
    shop: `UPDATE prd SET nm = 'owner' WHERE prd_id = 1`,
  });
  const { rows } = await shop.query('SELECT nm, dsc FROM prd WHERE prd_id = 1');
  expect(rows).toEqual([{ nm: 'owner', dsc: 'service' }]);
});

test('a row is deleted when that commits, not when it is said', async () => {
  await begin('last-writer-wins');
  canary.gate.shut();
  await shop.query('BEGIN; DELETE FROM cat WHERE cat_id = 1');
  await catalog.query(
    `SELECT pg_sleep(0.01); UPDATE category SET title = 'service' WHERE id = 1; SELECT pg_sleep(0.01)`,
  );
  await shop.query('COMMIT');
  canary.gate.open();
  await settled(canary.pair);
  expect((await shop.query('SELECT 1 FROM cat WHERE cat_id = 1')).rows).toEqual([]);
  expect(await conflicts(canary.pair)).toMatchObject([{ reason: 'missing', verdict: 'owner' }]);
});

async function time(client: pg.Client, table: string, id: number): Promise<number> {
  const key = table === 'prd' ? 'prd_id' : 'id';
  const { rows } = await client.query<{ ms: string }>(
    `SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000 AS ms FROM ${table} WHERE ${key} = $1`,
    [id],
  );
  return Number(rows[0]?.ms);
}

test('a function of the team’s decides, with both rows before it', async () => {
  const asked: Conflict[] = [];
  await begin((conflict) => {
    asked.push(conflict);
    return Number(conflict.incoming?.['prc']) > Number(conflict.owner?.['prc'])
      ? 'service'
      : 'owner';
  });
  await canary.atOnce('shop', {
    shop: 'UPDATE prd SET prc = 5 WHERE prd_id IN (1, 2)',
    catalog: `UPDATE product SET price_cents = 700 WHERE id = 1; UPDATE product SET price_cents = 300 WHERE id = 2`,
  });
  const { rows } = await shop.query('SELECT prc FROM prd WHERE prd_id < 3 ORDER BY prd_id');
  expect(rows).toEqual([{ prc: '7.00' }, { prc: '5.00' }]);
  expect(asked).toMatchObject([
    {
      ...{ table: 'public.prd', key: { prd_id: '1' }, owner: { prc: '5.00', stk: '0' } },
      ...{ incoming: { prc: '7' }, before: { prc: '1' } },
    },
    { key: { prd_id: '2' } },
  ]);
});

test('a write canary begins only where the databases can bear it, and where it was asked for', async () => {
  const enter = async (options: PairOptions['capability'], full: boolean): Promise<unknown> => {
    const pair = await createPair({ ...(options && { capability: options }) });
    const sync = startSync(pair);
    try {
      if (full) await fullIdentity(pair);
      await advanceTo(pair, 'canary');
      return await share(pair).catch((error: unknown) => error);
    } finally {
      await sync.stop();
      await pair.close();
    }
  };
  expect(await enter({ canary: { writes: true } }, false)).toMatchObject({
    code: 'PREFLIGHT_FAILED',
    message: expect.stringContaining(
      'the replica identity of "public"."cat" is not full',
    ) as unknown,
    hint: expect.stringContaining('ALTER TABLE "public"."prd" REPLICA IDENTITY FULL') as unknown,
  });
  expect(await enter({}, true)).toMatchObject({ code: 'MOVE_NOT_ALLOWED' });
  canary = await openCanary();
});
