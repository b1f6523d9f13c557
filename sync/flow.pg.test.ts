import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createLogger } from '../core/log.ts';
import { supervise, waitFor } from '../core/lifecycle.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import { syncPart } from './process.ts';

let pair: Pair;
let stop: AbortController;
let running: Promise<void>;

beforeEach(async () => {
  pair = await createPair();
  stop = new AbortController();
  running = supervise(
    [
      syncPart({
        migration: pair.migration,
        connections: pair.connections,
        controlUrl: pair.controlUrl,
        log: createLogger({}, (process.env['TEST_LOG'] as 'info' | undefined) ?? 'silent'),
        chunkRows: 7,
      }),
    ],
    stop.signal,
  );
});

afterEach(async () => {
  stop.abort();
  await running;
  await pair.close();
});

async function equal(): Promise<void> {
  await waitFor(
    async () => {
      const { monolith, service } = await pair.views();
      return JSON.stringify(monolith) === JSON.stringify(service);
    },
    { timeoutMs: 60_000, what: 'both sides to be equal' },
  ).catch(() => undefined);
  const { monolith, service } = await pair.views();
  expect(service).toEqual(monolith);
}

async function streaming(direction: 'to' | 'back'): Promise<void> {
  await waitFor(
    async () => {
      const line = (await pair.evidence.flows('catalog')).find(
        (one) => one.direction === direction,
      );
      return line?.status === 'streaming' && line.watermark !== null;
    },
    { timeoutMs: 90_000, what: `flow ${direction} to stream` },
  );
}

async function seed(): Promise<void> {
  await pair.monolith.query(`
    INSERT INTO cat SELECT i, 'cat ' || i, CASE WHEN i > 1 THEN i - 1 END FROM generate_series(1, 20) i;
    INSERT INTO prd (no, nm, dsc, prc, sts, cat_id, stk)
      SELECT 'N' || i, 'name ' || i, repeat('d', i), i + 0.25, CASE WHEN i % 3 = 0 THEN 'D' ELSE 'A' END, 1 + i % 20, i
        FROM generate_series(1, 100) i`);
}

test('copies what is there, follows what changes, and brings changes back after the owner has changed', async () => {
  await seed();
  const coordinator = pair.coordinator();
  await coordinator.move({ capability: 'catalog', event: 'advance' });
  await pair.monolith.query(`UPDATE prd SET prc = prc + 1 WHERE prd_id % 5 = 0`);
  await streaming('to');
  await equal();

  await pair.monolith.query(`
    DELETE FROM prd WHERE prd_id = 7;
    INSERT INTO prd (no, nm, prc) VALUES ('X', 'Ünïcödé "quoted" \\ {braces}', 0.01);
    UPDATE prd SET prd_id = 5000 WHERE prd_id = 8;
    UPDATE prd SET nm = NULL || 'x' WHERE false;
    UPDATE prd SET sts = 'D', dsc = NULL WHERE prd_id = 9`);
  await equal();

  await coordinator.move({ capability: 'catalog', event: 'advance' });
  await coordinator.move({ capability: 'catalog', event: 'advance', weight: 10 });
  await streaming('back');
  await pair.evidence.addVerify({
    capability: 'catalog',
    rows: 1,
    missing: 0,
    extra: 0,
    different: 0,
    unsettled: 0,
    samples: [],
  });
  const cutover = await coordinator.move({ capability: 'catalog', event: 'advance' });
  expect(cutover).toMatchObject({ from: 'canary', to: 'cutover' });

  await pair.service.query(`
    UPDATE product SET price_cents = price_cents + 5 WHERE id % 2 = 0;
    WITH made AS (INSERT INTO product (sku, name, price_cents, state) VALUES ('NEW', 'new', 1234, 'active') RETURNING id)
      INSERT INTO product_text SELECT id, 'text' FROM made;
    UPDATE product_text SET body = 'other' WHERE product_id = 11`);
  await pair.monolith.query('UPDATE prd SET stk = stk - 1, upd = now() WHERE prd_id < 20');
  await equal();
  await expect(
    pair.monolith.query(`UPDATE prd SET nm = 'x' WHERE prd_id = 11`),
  ).rejects.toMatchObject({ code: 'BN001' });
  await expect(
    pair.service.query(`UPDATE product SET stock = 1 WHERE id = 11`),
  ).rejects.toMatchObject({ code: 'BN001' });

  const back = await coordinator.move({ capability: 'catalog', event: 'rollback' });
  expect(back).toMatchObject({ from: 'cutover', to: 'canary', weight: 0 });
  await pair.monolith.query(`UPDATE prd SET nm = 'back again' WHERE prd_id < 10`);
  await equal();
  await expect(
    pair.service.query(`DELETE FROM product_text WHERE product_id = 11`),
  ).rejects.toMatchObject({ code: 'BN001' });

  for (let step = 0; step < 3; step++)
    await coordinator.move({ capability: 'catalog', event: 'rollback' });
  for (const side of [pair.monolith, pair.service]) {
    const { rows } = await side.query(`
      SELECT nspname AS left FROM pg_namespace WHERE nspname = 'banyan'
      UNION ALL SELECT tgname FROM pg_trigger WHERE tgname LIKE 'banyan%'
      UNION ALL SELECT pubname FROM pg_publication
      UNION ALL SELECT slot_name FROM pg_replication_slots WHERE database = current_database()`);
    expect(rows).toEqual([]);
  }
});
