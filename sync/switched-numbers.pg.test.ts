// Numbers that sequences give, before and after a switch: each new row gets one that nobody has.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createPair, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';

let pair: Pair;
let sync: RunningSync;

beforeEach(async () => {
  pair = await createPair();
  await pair.monolith.query(
    `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', 1 FROM generate_series(1, 10) i`,
  );
  sync = startSync(pair);
});

afterEach(async () => {
  await sync.stop();
  await pair.close();
});

const numbers = async (): Promise<readonly number[]> => {
  const of = async (side: 'monolith' | 'service', sequence: string): Promise<number> => {
    const { rows } = await pair[side].query<{ n: string }>(
      `SELECT last_value AS n FROM ${sequence}`,
    );
    return Number(rows[0]?.n);
  };
  return [await of('monolith', 'prd_seq'), await of('service', 'product_id_seq')];
};
const put = async (side: 'monolith' | 'service', text: string): Promise<number> => {
  const { rows } = await pair[side].query<{ id: string }>(text);
  return Number(rows[0]?.id);
};

test('after a switch, and after the way back, no number is given twice (pgcopydb#319), and what flows moves no sequence (spock#16)', async () => {
  await advanceTo(pair, 'cutover');
  const there = await put(
    'service',
    `INSERT INTO product (sku, name, price_cents, state) VALUES ('S', 's', 1, 'active') RETURNING id`,
  );
  expect(there).toBeGreaterThan(10);
  await equal(pair);
  const before = await numbers();
  await pair.service.query(
    `UPDATE product SET name = 'written'; INSERT INTO product (id, sku, name, price_cents, state) VALUES (90000, 'far', 'far', 1, 'active')`,
  );
  await equal(pair);
  expect(await numbers()).toEqual(before);

  await streaming(pair, 'back');
  await streaming(pair, 'to');
  await pair.coordinator().move({ capability: 'catalog', event: 'rollback' });
  const here = await put(
    'monolith',
    `INSERT INTO prd (no, nm, prc) VALUES ('M', 'm', 1) RETURNING prd_id AS id`,
  );
  expect(here).toBeGreaterThan(90_000);
  await equal(pair);
});
