import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { call, startMonolith, withClient, type RunningApp } from '../../test/contract/sample.ts';

let shop: RunningApp;
let customerId: number;
let categoryId: number;
let lamp: number;
let rack: number;

beforeAll(async () => {
  shop = await startMonolith();
  const category = await call(shop, 'POST', '/api/categories', { code: 'HOME', name: 'Home' });
  const customer = await call(shop, 'POST', '/api/customers', {
    name: 'Ada Berg',
    email: 'ada@example.com',
    type: 'P',
    country: 'DE',
  });
  customerId = customer.json.id;
  categoryId = category.json.id;
});

let counter = 0;

async function product(price: string, stock: number, more: object = {}): Promise<number> {
  counter += 1;
  const created = await call(shop, 'POST', '/api/products', {
    number: `T-${counter}`,
    name: `thing ${counter}`,
    price,
    categoryId,
    kind: 'GOOD',
    ...more,
  });
  const productId = created.json.id;
  if (stock > 0) await call(shop, 'POST', '/api/stock-receipts', { productId, quantity: stock });
  return productId;
}

const stockOf = async (id: number): Promise<number> =>
  (await call(shop, 'GET', `/api/products/${id}`)).json.stock;

const order = (lines: readonly [number, number][], more: object = {}) =>
  call(shop, 'POST', '/api/orders', {
    customerId,
    lines: lines.map(([productId, quantity]) => ({ productId, quantity })),
    ...more,
  });

beforeEach(async () => {
  lamp = await product('12.50', 10);
  rack = await product('99.99', 3);
});

afterAll(() => shop.stop());

test('takes the stock and the prices of the products when it places an order', async () => {
  const before = await call(shop, 'GET', `/api/products/${lamp}`);
  const placed = await order([
    [rack, 2],
    [lamp, 4],
  ]);
  expect(placed.status).toBe(201);
  expect(placed.location).toBe(`/api/orders/${placed.json.id}`);
  expect(placed.json).toMatchObject({
    customerId,
    reference: null,
    status: 'open',
    currency: 'EUR',
    total: '249.98',
    lines: [
      { productId: rack, quantity: 2, price: '99.99' },
      { productId: lamp, quantity: 4, price: '12.50' },
    ],
  });
  const after = await call(shop, 'GET', `/api/products/${lamp}`);
  expect(after.json).toEqual({ ...before.json, stock: 6, updatedAt: expect.any(String) });
  expect(after.json.updatedAt > before.json.updatedAt).toBe(true);
  expect(await stockOf(rack)).toBe(1);
  const moves = await shop.db('stkmv').where('ord_id', placed.json.id).orderBy('stkmv_id');
  expect(moves).toMatchObject([
    { prd_id: rack, mv_typ: 'O', qty: -2 },
    { prd_id: lamp, mv_typ: 'O', qty: -4 },
  ]);
});

test('keeps the stock as it was when the order cannot be written', async () => {
  expect((await order([[lamp, 1]], { reference: 'once' })).status).toBe(201);
  const again = await order([[lamp, 1]], { reference: 'once' });
  expect(again.status).toBe(409);
  expect(again.json.detail).toBe('there is already an order with reference once');
  await shop.db.raw(`
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'no movements today'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON stkmv EXECUTE FUNCTION refuse()`);
  try {
    expect((await order([[lamp, 1]])).status).toBe(500);
    expect(String(shop.errors.at(-1))).toContain('no movements today');
  } finally {
    await shop.db.raw('DROP TRIGGER refuse ON stkmv; DROP FUNCTION refuse()');
  }
  expect(await stockOf(lamp)).toBe(9);
});

test('refuses the whole order when one line is out of stock', async () => {
  const refused = await order([
    [lamp, 1],
    [rack, 4],
  ]);
  expect(refused.status).toBe(409);
  expect(refused.json.issues).toEqual([{ path: 'lines.1', message: 'only 3 in stock' }]);
  expect(await stockOf(lamp)).toBe(10);
});

test('never oversells, however many orders come at once', async () => {
  const answers = await Promise.all(Array.from({ length: 30 }, () => order([[lamp, 1]])));
  const statuses = answers.map((answer) => answer.status);
  expect(statuses.filter((status) => status === 201)).toHaveLength(10);
  expect(statuses.filter((status) => status === 409)).toHaveLength(20);
  expect(await stockOf(lamp)).toBe(0);
});

test('takes orders with the same products in any order of lines without a deadlock', async () => {
  const others = await Promise.all(Array.from({ length: 6 }, () => product('1.00', 1_000)));
  const answers = await Promise.all(
    Array.from({ length: 60 }, (_, index) => {
      const lines = others.map((id): [number, number] => [id, 1]);
      return order(index % 2 === 0 ? lines : lines.reverse());
    }),
  );
  expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([201]));
  for (const id of others) expect(await stockOf(id)).toBe(940);
});

test('goes on working while a trigger refuses every change of catalog columns', async () => {
  await shop.db.raw(`
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'prd is closed' USING ERRCODE = 'P0042'; END $$;
    CREATE TRIGGER refuse_change AFTER UPDATE ON prd FOR EACH ROW
      WHEN ((OLD.prd_id, OLD.prd_no, OLD.prd_nm, OLD.prd_dsc, OLD.prc, OLD.cur, OLD.sts, OLD.cat_id,
             OLD.prdcd, OLD.crt_dt) IS DISTINCT FROM
            (NEW.prd_id, NEW.prd_no, NEW.prd_nm, NEW.prd_dsc, NEW.prc, NEW.cur, NEW.sts, NEW.cat_id,
             NEW.prdcd, NEW.crt_dt)) EXECUTE FUNCTION refuse();
    CREATE TRIGGER refuse_row AFTER INSERT OR DELETE ON prd FOR EACH ROW EXECUTE FUNCTION refuse();
    ALTER TABLE prd ENABLE ALWAYS TRIGGER refuse_change;
    ALTER TABLE prd ENABLE ALWAYS TRIGGER refuse_row`);
  try {
    expect((await call(shop, 'PATCH', `/api/products/${lamp}`, { name: 'x' })).status).toBe(500);
    const placed = await order([
      [lamp, 4],
      [rack, 1],
    ]);
    expect(placed.status).toBe(201);
    expect(await stockOf(lamp)).toBe(6);
    expect((await call(shop, 'POST', `/api/orders/${placed.json.id}/cancel`)).status).toBe(200);
    const receipt = { productId: lamp, quantity: 5 };
    expect((await call(shop, 'POST', '/api/stock-receipts', receipt)).json.stock).toBe(15);
  } finally {
    await shop.db.raw(
      `DROP TRIGGER refuse_change ON prd; DROP TRIGGER refuse_row ON prd; DROP FUNCTION refuse()`,
    );
  }
});

test('puts the stock back when an open order is cancelled, once', async () => {
  const placed = await order([
    [lamp, 4],
    [rack, 3],
  ]);
  const path = `/api/orders/${placed.json.id}`;
  const cancelled = await call(shop, 'POST', `${path}/cancel`);
  expect(cancelled.status).toBe(200);
  expect(cancelled.json.status).toBe('cancelled');
  expect([await stockOf(lamp), await stockOf(rack)]).toEqual([10, 3]);
  const again = await call(shop, 'POST', `${path}/cancel`);
  expect(again.status).toBe(409);
  expect(again.json.detail).toBe(`order ${placed.json.id} is cancelled`);
  expect(await stockOf(lamp)).toBe(10);
  expect((await call(shop, 'POST', '/api/orders/999999/cancel')).status).toBe(404);
});

test('refuses what is not on sale, what does not exist and who is blocked', async () => {
  const retired = await product('1.00', 5);
  await call(shop, 'DELETE', `/api/products/${retired}`);
  const closed = await order([[retired, 1]]);
  expect(closed.status).toBe(409);
  expect(closed.json.issues).toEqual([{ path: 'lines.0', message: 'the product is not on sale' }]);

  const unknown = await order([
    [lamp, 1],
    [999_999, 1],
  ]);
  expect(unknown.status).toBe(400);
  expect(unknown.json.issues).toEqual([
    { path: 'lines.1.productId', message: 'there is no such product' },
  ]);

  const foreign = await product('1.00', 5, { currency: 'CHF' });
  expect(
    (
      await order([
        [lamp, 1],
        [foreign, 1],
      ])
    ).status,
  ).toBe(409);

  const blocked = await call(shop, 'POST', '/api/customers', {
    name: 'Ben',
    email: 'ben@example.com',
    type: 'B',
    country: 'AT',
    status: 'blocked',
  });
  expect((await order([[lamp, 1]], { customerId: blocked.json.id })).status).toBe(409);
  expect((await order([[lamp, 1]], { customerId: 999_999 })).status).toBe(400);
  expect(await stockOf(lamp)).toBe(10);
});

test('lists every mistake of an order at once', async () => {
  const answer = await call(shop, 'POST', '/api/orders', {
    customerId: 'x',
    lines: [
      { productId: lamp, quantity: 0 },
      { productId: lamp, quantity: 1, price: '1.00' },
    ],
  });
  expect(answer.status).toBe(400);
  expect(answer.type).toMatch('application/problem+json');
  expect(answer.json.issues.map((issue) => issue.path)).toEqual([
    'customerId',
    'lines.0.quantity',
    'lines.1',
  ]);
  const twice = await order([
    [lamp, 1],
    [lamp, 2],
  ]);
  expect(twice.json.issues).toEqual([
    { path: 'lines.1.productId', message: 'this product is in the order already' },
  ]);
});

test('finds an order again by its reference', async () => {
  const placed = await order([[lamp, 1]], { reference: 'cart-7' });
  const found = await call(shop, 'GET', '/api/orders?reference=cart-7');
  expect(found.json).toMatchObject({ total: 1, items: [{ id: placed.json.id }] });
  const none = await call(shop, 'GET', '/api/orders?reference=cart-8');
  expect(none.json).toEqual({ items: [], page: 1, pageSize: 50, total: 0 });
  expect((await call(shop, 'GET', '/api/orders/999999')).status).toBe(404);
});

test('keeps in stkmv what the stock has gone through', async () => {
  const ledger = await withClient(shop.databaseUrl, (client) =>
    client.query(`
      SELECT prd_id FROM prd
      WHERE stk_qty <> (SELECT coalesce(sum(qty), 0) FROM stkmv WHERE stkmv.prd_id = prd.prd_id)`),
  );
  expect(ledger.rows).toEqual([]);
});
