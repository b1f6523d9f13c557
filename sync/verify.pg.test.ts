// Verify finds what is wrong and only that, while both sides are being written.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { sleep } from '../core/lifecycle.ts';
import { sqlState, withClient } from '../core/postgres/connect.ts';
import type { VerifyOutcome } from '../control/verify-outcomes.ts';
import { seedShop, writeLoad } from '../test/support/load.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';
import { verify, type VerifySample } from './verify.ts';

let pair: Pair;
let sync: RunningSync | undefined;

beforeEach(async () => {
  pair = await createPair();
});

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

async function run(chunkRows = 7, repairFrom?: 'monolith' | 'service'): Promise<VerifyOutcome> {
  const capability = pair.migration.capabilities['catalog'];
  const [monolith, service] = [
    pair.connections.monolith.database,
    pair.connections.services['catalog']?.database,
  ];
  if (!capability || !monolith || !service) throw new Error('no capability');
  return verify({
    ...{ id: 'catalog', capability, monolith, service, chunkRows },
    ...(repairFrom && { repairFrom }),
  });
}

/** Writes into the service past the fence, as a bug of the sync would. */
async function spoil(statement: string): Promise<void> {
  await withClient(
    pair.connections.services['catalog']?.database?.applier ?? '',
    SESSION,
    (client) => client.query(statement),
  );
}

test('finds missing, extra and different rows, with samples that name columns and values', async () => {
  await seedShop(pair);
  await advanceTo(pair, 'sync');
  sync = startSync(pair, { chunkRows: 500 });
  await streaming(pair, 'to');
  await equal(pair);
  expect(await run()).toMatchObject({
    missing: 0,
    extra: 0,
    different: 0,
    unsettled: 0,
    rows: 180,
  });
  await spoil(`
    UPDATE product SET price_cents = price_cents + 1 WHERE id = 20;
    UPDATE product_text SET body = NULL WHERE product_id IN (21, 22);
    DELETE FROM product WHERE id = 23;
    UPDATE category SET title = 'other' WHERE id = 3;
    INSERT INTO product (id, sku, name, price_cents, state) VALUES (-5, 'extra', 'x', 1, 'active')`);
  const outcome = await run();
  // 23 is missing in both tables that its row is split into.
  expect(outcome).toMatchObject({ missing: 2, extra: 1, different: 4, unsettled: 0 });
  const samples = outcome.samples as VerifySample[];
  expect(samples.find((one) => one.table === 'public.product' && one.kind === 'different')).toEqual(
    {
      table: 'public.product',
      key: ['20'],
      kind: 'different',
      columns: [{ column: 'price_cents', expected: '2025', actual: '2026' }],
    },
  );
  expect(samples.find((one) => one.kind === 'extra')).toMatchObject({ key: ['-5'] });
});

test('a value that the mapping has no form for is told by its column, and why', async () => {
  await seedShop(pair);
  await advanceTo(pair, 'sync');
  sync = startSync(pair, { chunkRows: 500 });
  await streaming(pair, 'to');
  await pair.monolith.query(`UPDATE prd SET sts = 'Z' WHERE prd_id = 24`);
  const { different, samples } = await run();
  expect(different).toBe(1);
  expect(samples).toEqual([
    {
      ...{ table: 'public.product', key: ['24'], kind: 'different' },
      columns: [
        { column: 'state', expected: null, actual: null, why: '"Z" is not among "A", "D"' },
      ],
    },
  ]);
});

test('what is wrong is read again from the owner, whoever that is', async () => {
  await seedShop(pair);
  await advanceTo(pair, 'sync');
  sync = startSync(pair, { chunkRows: 500 });
  await streaming(pair, 'to');
  await spoil(`
    UPDATE product SET price_cents = price_cents + 1 WHERE id = 20;
    UPDATE product_text SET body = NULL WHERE product_id IN (21, 22);
    DELETE FROM product WHERE id = 23;
    INSERT INTO product (id, sku, name, price_cents, state) VALUES (-5, 'extra', 'x', 1, 'active')`);
  expect(await run(7, 'monolith')).toMatchObject({ missing: 2, extra: 1, different: 3 });
  await equal(pair);
  await streaming(pair, 'to');
  expect(await run()).toMatchObject({ missing: 0, extra: 0, different: 0 });
  await advanceTo(pair, 'cutover');
  await withClient(pair.connections.monolith.database?.applier ?? '', SESSION, (client) =>
    client.query(`UPDATE prd SET nm = 'spoilt' WHERE prd_id = 30`),
  );
  expect(await run(7, 'service')).toMatchObject({ extra: 0, missing: 0, different: 1 });
  await equal(pair);
});

test('raises no false alarm while the monolith is written', async () => {
  await seedShop(pair);
  await advanceTo(pair, 'sync');
  sync = startSync(pair, { chunkRows: 500 });
  await streaming(pair, 'to');
  const over = new AbortController();
  const load = Promise.all(
    [1, 2].map((one) => writeLoad(pair, one, 1e6, { signal: over.signal, pauseMs: 15 })),
  );
  try {
    for (let pass = 0; pass < 3; pass++) {
      const outcome = await run(30);
      expect(outcome).toMatchObject({ missing: 0, extra: 0, different: 0 });
    }
    await spoil(`UPDATE category SET title = 'wrong' WHERE id = 1`);
    expect((await run(30)).different).toBeLessThanOrEqual(1);
  } finally {
    over.abort();
    await load;
  }
  await streaming(pair, 'to');
  await spoil(`UPDATE category SET title = (SELECT 'cat 1') WHERE id = 1`);
  await equal(pair);
});

test('raises no false alarm while both sides are written after cutover', async () => {
  await seedShop(pair);
  await advanceTo(pair, 'sync');
  sync = startSync(pair, { chunkRows: 500 });
  await advanceTo(pair, 'cutover');
  const over = new AbortController();
  const load = (async () => {
    // Appliers lock rows in the stream's order: an application may meet one crosswise.
    const unlessLocked = (error: unknown): void => {
      if (sqlState(error) !== '40P01') throw error;
    };
    for (let turn = 0; !over.signal.aborted; turn++) {
      await pair.service
        .query('UPDATE product SET name = $1 WHERE id % 40 = $2', [`t${turn}`, turn % 40])
        .then(() => undefined, unlessLocked);
      await pair.monolith
        .query('UPDATE prd SET stk = stk - 1 WHERE prd_id % 40 = $1', [turn % 40])
        .then(() => undefined, unlessLocked);
      await sleep(5);
    }
  })();
  try {
    for (let pass = 0; pass < 2; pass++)
      expect(await run(30)).toMatchObject({ missing: 0, extra: 0, different: 0 });
  } finally {
    over.abort();
    await load;
  }
});

test('a row that never holds still, and half a row that waits for its other half, are unsettled, not wrong', async () => {
  await seedShop(pair);
  await advanceTo(pair, 'sync');
  sync = startSync(pair, { chunkRows: 500 });
  await advanceTo(pair, 'cutover');
  await pair.service.query(`
    ALTER TABLE product_text DROP CONSTRAINT product_text_product_id_fkey;
    INSERT INTO product_text VALUES (7777, 'half')`);
  const over = new AbortController();
  const busy = (async () => {
    for (let turn = 0; !over.signal.aborted; turn++)
      await pair.service.query('UPDATE product SET name = $1 WHERE id = 1', [`t${turn}`]);
  })();
  try {
    const outcome = await run(500);
    expect(outcome).toMatchObject({ missing: 0, extra: 0, different: 0 });
    expect(outcome.unsettled).toBeGreaterThanOrEqual(1);
  } finally {
    over.abort();
    await busy;
  }
});

test('without a flow there is nothing to verify', async () => {
  await expect(run()).rejects.toMatchObject({ code: 'MOVE_NOT_ALLOWED' });
});
