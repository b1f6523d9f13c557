// What is the monolith's own about its catalog; the public contract is tested in test/contract.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { call, startMonolith, type Json, type RunningApp } from '../../test/contract/sample.ts';

let shop: RunningApp;

beforeAll(async () => {
  shop = await startMonolith({ products: 130, customers: 0, orders: 0 });
});

afterAll(() => shop.stop());

const lamp = { number: 'L-1', name: 'lamp', price: '12.5', categoryId: 2, kind: 'GOOD' };

test('pages through all products once, in the order of their ids', async () => {
  const ids: number[] = [];
  for (const page of [1, 2, 3, 4]) {
    const { json } = await call(shop, 'GET', `/api/products?page=${page}&pageSize=50`);
    expect(json).toMatchObject({ page, pageSize: 50, total: 130 });
    ids.push(...json.items.map((item) => item.id));
  }
  expect(ids).toEqual(Array.from({ length: 130 }, (_, index) => index + 1));
});

test('writes only columns of the catalog, in terse words', async () => {
  await shop.db.raw(`
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'stock is not yours'; END $$;
    CREATE TRIGGER refuse AFTER UPDATE ON prd FOR EACH ROW
      WHEN (OLD.stk_qty IS DISTINCT FROM NEW.stk_qty) EXECUTE FUNCTION refuse()`);
  try {
    const created = await call(shop, 'POST', '/api/products', lamp);
    expect(created.json).toMatchObject({ ...lamp, price: '12.50', stock: 0, status: 'active' });
    const path = `/api/products/${created.json.id}`;
    const changed = await call(shop, 'PATCH', path, { price: '13', status: 'suspended' });
    expect(changed.json).toEqual({
      ...created.json,
      price: '13.00',
      status: 'suspended',
      updatedAt: changed.json.updatedAt,
    });
    expect(changed.json.updatedAt > created.json.updatedAt).toBe(true);
    expect((await call(shop, 'DELETE', path)).status).toBe(204);
    expect((await call(shop, 'GET', path)).json.status).toBe('discontinued');
    const rows = await shop.db('prd').where('prd_no', 'L-1').select<Json[]>();
    expect(rows).toMatchObject([{ prc: '13.00', cur: 'EUR', sts: 'D', prdcd: 'GOOD', stk_qty: 0 }]);
  } finally {
    await shop.db.raw('DROP TRIGGER refuse ON prd; DROP FUNCTION refuse()');
  }
});

test('knows no kind that the code table does not know, and all that it knows', async () => {
  const kinds = await call(shop, 'GET', '/api/codes/product-codes');
  for (const [index, { code }] of kinds.json.items.entries()) {
    const body = { ...lamp, number: `K-${index}`, kind: code };
    expect((await call(shop, 'POST', '/api/products', body)).status).toBe(201);
  }
  const refused = await call(shop, 'POST', '/api/products', {
    ...lamp,
    number: 'K-x',
    kind: 'NEW',
  });
  expect(refused.json.issues.map((issue) => issue.path)).toEqual(['kind']);
  expect(refused.json.issues[0]?.message).toContain('"GOOD"');
});

test('never lets two moves at once close a circle of categories', async () => {
  const move = (id: number, parentId: number) =>
    call(shop, 'PATCH', `/api/categories/${id}`, { parentId });
  for (let round = 0; round < 10; round++) {
    await call(shop, 'PATCH', '/api/categories/1', { parentId: null });
    await call(shop, 'PATCH', '/api/categories/8', { parentId: null });
    const answers = await Promise.all([move(1, 8), move(8, 1)]);
    expect(answers.map((answer) => answer.status).sort()).toEqual([200, 409]);
  }
});
