// The modules around catalog and ordering, over a small seeded shop.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { call, startMonolith, type Json, type RunningApp } from '../test/contract/sample.ts';

let shop: RunningApp;

beforeAll(async () => {
  shop = await startMonolith({ products: 120, customers: 30, orders: 60 });
});

afterAll(() => shop.stop());

const get = async (path: string): Promise<Json> => (await call(shop, 'GET', path)).json;

test('says that it is healthy', async () => {
  expect(await get('/healthz')).toEqual({ status: 'ok' });
});

test('answers what it does not know with a problem document', async () => {
  const answer = await call(shop, 'GET', '/api/nothing');
  expect(answer.status).toBe(404);
  expect(answer.type).toMatch('application/problem+json');
  expect(answer.json).toEqual({
    type: 'about:blank',
    title: 'Not Found',
    status: 404,
    detail: 'there is no such route',
  });
});

test('tells its code tables', async () => {
  const [countries, types, kinds] = [
    await get('/api/codes/countries'),
    await get('/api/codes/customer-types'),
    await get('/api/codes/product-codes'),
  ];
  expect(countries.items).toContainEqual({ code: 'DE', name: 'Germany' });
  expect(types.items).toContainEqual({ code: 'B', name: 'Business', discountPercent: '3.00' });
  expect(kinds.items.map((kind) => kind.code).sort()).toEqual(
    ['GOOD', 'DIGI', 'SERV', 'GIFT', 'SPARE', 'BUNDLE'].sort(),
  );
});

test('keeps customers: creates, reads, lists and changes them', async () => {
  const body = { name: 'Zoë Quist', email: 'zoe@example.com', type: 'W', country: 'NL' };
  const created = await call(shop, 'POST', '/api/customers', body);
  expect(created.status).toBe(201);
  expect(created.location).toBe(`/api/customers/${created.json.id}`);
  expect(created.json).toMatchObject({ ...body, id: 31, status: 'active' });
  expect(created.json.createdAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  expect(Math.abs(Date.now() - Date.parse(created.json.createdAt))).toBeLessThan(60_000);

  const path = `/api/customers/${created.json.id}`;
  const blocked = await call(shop, 'PATCH', path, { status: 'blocked' });
  expect(blocked.json).toMatchObject({ ...body, status: 'blocked' });
  expect(await get(path)).toEqual(blocked.json);
  const listed = await get('/api/customers?country=NL&status=blocked&pageSize=200');
  expect(listed.items).toContainEqual(blocked.json);

  expect((await call(shop, 'POST', '/api/customers', body)).status).toBe(409);
  const wrong = { ...body, email: 'other@example.com', country: 'XX' };
  expect((await call(shop, 'POST', '/api/customers', wrong)).json.issues).toEqual([
    { path: 'country', message: 'there is no such country' },
  ]);
  expect((await call(shop, 'GET', '/api/customers/999')).status).toBe(404);
  expect((await call(shop, 'PATCH', '/api/customers/999', { name: 'x' })).status).toBe(404);
});

test('invoices an order and takes payments up to its amount', async () => {
  const placed = await call(shop, 'POST', '/api/orders', {
    customerId: 1,
    lines: [{ productId: await activeProduct(), quantity: 2 }],
  });
  const orderId = placed.json.id;
  const total = String(placed.json.total);
  const invoice = await call(shop, 'POST', '/api/invoices', { orderId });
  expect(invoice.status).toBe(201);
  expect(invoice.json).toMatchObject({ orderId, customerId: 1, amount: total, status: 'open' });
  expect(invoice.location).toBe(`/api/invoices/${invoice.json.id}`);
  expect((await get(`/api/orders/${orderId}`)).status).toBe('invoiced');
  expect((await call(shop, 'POST', '/api/invoices', { orderId })).status).toBe(409);
  expect((await call(shop, 'POST', '/api/invoices', { orderId: 999_999 })).status).toBe(400);
  expect((await call(shop, 'POST', `/api/orders/${orderId}/cancel`)).status).toBe(409);

  const pay = (amount: string) =>
    call(shop, 'POST', `/api/invoices/${invoice.json.id}/payments`, { amount, method: 'card' });
  const rest = (Number(total) - 0.01).toFixed(2);
  expect((await pay('0.01')).json).toMatchObject({
    status: 'open',
    payments: [{ amount: '0.01' }],
  });
  expect((await pay(total)).status).toBe(409);
  expect((await pay('0.00')).status).toBe(400);
  const settled = await pay(rest);
  expect(settled.status).toBe(201);
  expect(settled.json).toMatchObject({
    status: 'paid',
    payments: [{ amount: '0.01' }, { amount: rest }],
  });
  expect((await get(`/api/orders/${orderId}`)).status).toBe('paid');
  expect((await get('/api/invoices?status=paid&pageSize=200')).items).toContainEqual({
    ...settled.json,
    payments: undefined,
  });
});

test('reports over all modules, and the sums agree', async () => {
  const sales = await get('/api/reports/sales-by-category');
  const revenue = sales.items.reduce((sum, row) => sum + Number(row.revenue), 0);
  const sold = await shop.db('ord').whereNot('ord_sts', 'C').sum({ tot: 'tot' });
  expect(revenue.toFixed(2)).toBe(sold[0]?.tot);

  const top = await get('/api/reports/top-products?limit=3');
  expect(top.items).toHaveLength(3);
  const units = top.items.map((row) => row.units);
  expect(units).toEqual(units.toSorted((a, b) => b - a));

  const low = await get('/api/reports/low-stock?threshold=31');
  expect(low.items.length).toBeGreaterThan(0);
  expect(low.items.every((row) => row.stock < 31)).toBe(true);

  const countries = await get('/api/reports/revenue-by-country');
  const invoiced = countries.items.reduce((sum, row) => sum + Number(row.invoiced), 0);
  const invoices = await shop.db('inv').sum({ amt: 'amt' });
  expect(invoiced.toFixed(2)).toBe(invoices[0]?.amt);
  expect((await call(shop, 'GET', '/api/reports/top-products?limit=0')).status).toBe(400);
});

async function activeProduct(): Promise<number> {
  const { items } = await get('/api/products?status=active&pageSize=20');
  return items.find((product) => product.stock > 100)?.id ?? 0;
}
