// What is the service's own about the catalog; the public contract is tested in test/contract.
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { call, startCatalog, type RunningApp } from '../../test/contract/sample.ts';

let service: RunningApp;

beforeAll(async () => {
  service = await startCatalog();
  await call(service, 'POST', '/api/categories', { code: 'HOME', name: 'Home' });
});

afterAll(() => service.stop());

beforeEach(async () => {
  await service.db('product').delete();
});

const lamp = {
  number: 'L-1',
  name: 'lamp',
  description: 'gives light',
  price: '12.50',
  currency: 'EUR',
  status: 'active',
  categoryId: 1,
  kind: 'GOOD',
};

const rows = (table: string) => service.db(table).select<Record<string, unknown>[]>();

test('splits a product into its two tables, and tells it as one', async () => {
  const created = await call(service, 'POST', '/api/products', lamp);
  expect(created.status).toBe(201);
  expect(created.json).toMatchObject({ ...lamp, stock: 0 });
  const { id } = created.json;
  expect(await rows('product')).toMatchObject([
    { id, sku: 'L-1', price_cents: 1250, state: 'active', category_id: 1 },
  ]);
  expect(await rows('product_description')).toEqual([{ product_id: id, body: 'gives light' }]);
  expect((await call(service, 'GET', `/api/products/${id}`)).text).toBe(created.text);

  const changed = await call(service, 'PATCH', `/api/products/${id}`, {
    price: '0.99',
    description: 'gave light',
  });
  expect(changed.json).toEqual({
    ...created.json,
    price: '0.99',
    description: 'gave light',
    updatedAt: changed.json.updatedAt,
  });
  expect(changed.json.updatedAt > created.json.updatedAt).toBe(true);
  expect(await rows('product_description')).toEqual([{ product_id: id, body: 'gave light' }]);
});

test('writes neither table when the second one refuses', async () => {
  const created = await call(service, 'POST', '/api/products', lamp);
  await service.db.raw(`
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'no words today'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON product_description EXECUTE FUNCTION refuse()`);
  try {
    const other = { ...lamp, number: 'L-2' };
    expect((await call(service, 'POST', '/api/products', other)).status).toBe(500);
    const path = `/api/products/${created.json.id}`;
    const change = { name: 'torch', description: 'x' };
    expect((await call(service, 'PATCH', path, change)).status).toBe(500);
    expect(service.errors).toHaveLength(2);
  } finally {
    await service.db.raw('DROP TRIGGER refuse ON product_description; DROP FUNCTION refuse()');
  }
  expect(await rows('product')).toMatchObject([{ sku: 'L-1', name: 'lamp' }]);
});

test('tells a product whose description has not come yet', async () => {
  const created = await call(service, 'POST', '/api/products', lamp);
  await service.db('product_description').delete();
  const path = `/api/products/${created.json.id}`;
  expect((await call(service, 'GET', path)).json).toEqual({ ...created.json, description: '' });
  expect((await call(service, 'GET', '/api/products')).json.items).toEqual([
    { ...created.json, description: '' },
  ]);
  const changed = await call(service, 'PATCH', path, { description: 'here it is' });
  expect(changed.json).toMatchObject({ description: 'here it is' });
});

test('discontinues a product instead of deleting it', async () => {
  const created = await call(service, 'POST', '/api/products', lamp);
  const deleted = await call(service, 'DELETE', `/api/products/${created.json.id}`);
  expect([deleted.status, deleted.text]).toEqual([204, '']);
  expect(await rows('product')).toMatchObject([{ sku: 'L-1', state: 'discontinued' }]);
});
