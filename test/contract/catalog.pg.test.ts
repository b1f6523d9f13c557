// The public contract of the catalog, word for word the same from the monolith and from the service:
// one table of requests, both apps, equivalent data. Answers are compared as text. Only a moment of
// after the start of the test may differ: the two never write at the same millisecond.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import {
  call,
  startCatalog,
  startMonolith,
  withClient,
  type Answer,
  type RunningApp,
} from './sample.ts';

let monolith: RunningApp;
let service: RunningApp;
let startedAt: string;

beforeAll(async () => {
  monolith = await startMonolith({ products: 230, customers: 0, orders: 0 });
  service = await startCatalog();
  await copyCatalog();
  startedAt = new Date().toISOString();
});

afterAll(async () => {
  await monolith.stop();
  await service.stop();
});

const PRODUCT = { number: 'N-1', name: 'lamp', price: '12.5', categoryId: 3, kind: 'GOOD' };
const CATEGORY = { code: 'NEW', name: 'Brand new' };
const LONG = 'a long description, 1 €; '.repeat(700);

/** In order: later requests see what earlier ones wrote. Products 1–230 and categories 1–38 exist. */
const REQUESTS: readonly (readonly [string, string, number, unknown?])[] = [
  ['GET', '/healthz', 200],
  ['GET', '/api/products', 200],
  ['GET', '/api/products?page=5', 200],
  ['GET', '/api/products?page=6', 200],
  ['GET', '/api/products?page=2&pageSize=200', 200],
  ['GET', '/api/products?pageSize=7&page=3&status=discontinued', 200],
  ['GET', '/api/products?status=suspended', 200],
  ['GET', '/api/products?category=HOME-2', 200],
  ['GET', '/api/products?category=HOME-2&status=active&q=lamp', 200],
  ['GET', '/api/products?category=NONE', 200],
  ['GET', '/api/products?q=LAMP&pageSize=200', 200],
  ['GET', '/api/products?q=p-00012', 200],
  ['GET', '/api/products?q=na%C3%AFve', 200],
  ['GET', '/api/products?q=%25', 200],
  ['GET', '/api/products?q=_', 200],
  ['GET', '/api/products?q=%5C', 200],
  ['GET', '/api/products?unknown=1', 200],
  ['GET', '/api/products?page=0', 400],
  ['GET', '/api/products?page=1&page=2', 400],
  ['GET', '/api/products?page=x&pageSize=201&status=gone&q=&category=', 400],
  ['GET', '/api/products?q=%00', 400],
  ['GET', '/api/products/1', 200],
  ['GET', '/api/products/20', 200],
  ['GET', '/api/products/50', 200],
  ['GET', '/api/products/999999', 404],
  ['GET', '/api/products/0', 400],
  ['GET', '/api/products/abc', 400],
  ['GET', '/api/products/1.5', 400],
  ['GET', '/api/products/99999999999999999999', 400],
  ['GET', '/api/products/%E0%A4%A', 400],
  ['GET', '/api/products/1/more', 404],
  ['PUT', '/api/products/1', 404, {}],
  ['GET', '/api/categories', 200],
  ['GET', '/api/categories?pageSize=3&page=2', 200],
  ['GET', '/api/categories?status=inactive', 200],
  ['GET', '/api/categories?status=suspended', 400],
  ['GET', '/api/categories/1', 200],
  ['GET', '/api/categories/2', 200],
  ['GET', '/api/categories/999', 404],
  ['GET', '/api/categories/x', 400],
  ['DELETE', '/api/categories/1', 404],

  ['POST', '/api/products', 201, PRODUCT],
  ['POST', '/api/products', 409, PRODUCT],
  ['POST', '/api/products', 409, { ...PRODUCT, categoryId: 999 }],
  ['GET', '/api/products/231', 200],
  ['POST', '/api/products', 400, { ...PRODUCT, number: 'N-2', categoryId: 999 }],
  ['POST', '/api/products', 400, { ...PRODUCT, number: 'N-2', kind: 'WHAT' }],
  ['POST', '/api/products', 400, { ...PRODUCT, number: 'N-2', stock: 5 }],
  ['POST', '/api/products', 400, { ...PRODUCT, number: 'N-2', price: 12.5 }],
  ['POST', '/api/products', 400, { ...PRODUCT, number: 'N-2', price: '1.005' }],
  ['POST', '/api/products', 400, { ...PRODUCT, number: 'N-2', price: '-1' }],
  ['POST', '/api/products', 400, { ...PRODUCT, number: ' ', name: 'x'.repeat(121) }],
  ['POST', '/api/products', 400, { ...PRODUCT, number: 'nul\0', description: 'nul\0' }],
  ['POST', '/api/products', 400, { ...PRODUCT, number: 'N-2', description: 'x'.repeat(20_001) }],
  ['POST', '/api/products', 400, { ...PRODUCT, number: 'N-2', currency: 'eur', status: 'A' }],
  ['POST', '/api/products', 400, {}],
  ['POST', '/api/products', 400, []],
  ['POST', '/api/products', 400, '{"number":'],
  ['POST', '/api/products', 400, 'null'],
  ['POST', '/api/products', 400],
  ['POST', '/api/products', 413, { ...PRODUCT, description: 'x'.repeat(300_000) }],
  [
    'POST',
    '/api/products',
    201,
    {
      number: ' N-4 ',
      name: 'Ünïcode 灯 💡',
      description: LONG,
      price: '9999999999.99',
      currency: 'CHF',
      status: 'suspended',
      categoryId: 1,
      kind: 'SPARE',
    },
  ],
  ['GET', '/api/products?q=n-4', 200],
  ['GET', '/api/products?q=灯', 200],
  ['GET', '/api/products?page=5&pageSize=50', 200],

  ['PATCH', '/api/products/2', 200, { price: '0.07' }],
  ['PATCH', '/api/products/2', 200, { description: '', name: ' trimmed ' }],
  ['PATCH', '/api/products/2', 200, { description: LONG }],
  [
    'PATCH',
    '/api/products/2',
    200,
    { number: 'RENUMBERED', status: 'discontinued', categoryId: 5 },
  ],
  ['PATCH', '/api/products/2', 200, { status: 'active', kind: 'DIGI', currency: 'GBP' }],
  ['PATCH', '/api/products/2', 409, { number: 'N-1' }],
  ['PATCH', '/api/products/2', 400, { categoryId: 999 }],
  ['PATCH', '/api/products/2', 400, { stock: 1 }],
  ['PATCH', '/api/products/2', 400, { id: 3, createdAt: '2024-01-01T00:00:00.000Z' }],
  ['PATCH', '/api/products/2', 400, {}],
  ['PATCH', '/api/products/2', 400, { price: null }],
  ['PATCH', '/api/products/999999', 404, { price: '1' }],
  ['PATCH', '/api/products/999999', 404, { description: 'x' }],
  ['PATCH', '/api/products/999999', 400, { price: 'x' }],
  ['PATCH', '/api/products/x', 400, { price: '1' }],
  ['GET', '/api/products/2', 200],
  ['DELETE', '/api/products/3', 204],
  ['DELETE', '/api/products/3', 204],
  ['GET', '/api/products/3', 200],
  ['DELETE', '/api/products/999999', 404],
  ['DELETE', '/api/products/x', 400],

  ['POST', '/api/categories', 201, CATEGORY],
  ['POST', '/api/categories', 409, CATEGORY],
  ['POST', '/api/categories', 201, { ...CATEGORY, code: 'NEW-1', parentId: 1, status: 'inactive' }],
  ['POST', '/api/categories', 400, { ...CATEGORY, code: 'NEW-2', parentId: 999 }],
  ['POST', '/api/categories', 400, { code: 'small', name: '', parentId: 0, status: 'off', x: 1 }],
  ['PATCH', '/api/categories/2', 200, { name: 'Kitchens', parentId: null }],
  ['PATCH', '/api/categories/2', 200, { parentId: 8, status: 'inactive', code: 'KITCHENS' }],
  ['PATCH', '/api/categories/8', 409, { parentId: 2 }],
  ['PATCH', '/api/categories/8', 409, { parentId: 8 }],
  ['PATCH', '/api/categories/8', 409, { code: 'NEW' }],
  ['PATCH', '/api/categories/8', 400, { parentId: 999 }],
  ['PATCH', '/api/categories/8', 400, {}],
  ['PATCH', '/api/categories/999', 404, { name: 'x' }],
  ['PATCH', '/api/categories/999', 404, { parentId: 999 }],
  ['GET', '/api/categories?pageSize=200', 200],
  ['GET', '/api/products?category=KITCHENS', 200],
];

const CASES = REQUESTS.map(([method, path, status, body]) => ({ method, path, status, body }));

test.each(CASES)('answers $method $path with $status on both sides', async (request) => {
  const { method, path, status, body } = request;
  const old = await call(monolith, method, path, body);
  const young = await call(service, method, path, body);
  expect(comparable(young)).toEqual(comparable(old));
  expect(old.status).toBe(status);
  if (status >= 400) expect(old.type).toMatch('application/problem+json');
  if (status === 201) expect(old.location).toMatch(/^\/api\/(products|categories)\/\d+$/);
});

test('has met every field: nothing was compared as empty', async () => {
  const { json } = await call(monolith, 'GET', '/api/products/20');
  expect(Object.keys(json)).toEqual([
    'id',
    'number',
    'name',
    'description',
    'price',
    'currency',
    'status',
    'categoryId',
    'kind',
    'stock',
    'createdAt',
    'updatedAt',
  ]);
  expect(json.stock).toBeGreaterThan(0);
  expect(json.price).toMatch(/^\d+\.\d\d$/);
  expect(json.createdAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  const category = await call(monolith, 'GET', '/api/categories/4');
  expect(Object.keys(category.json)).toEqual(['id', 'code', 'name', 'parentId', 'status']);
});

/** The answer with every moment since the start of the test replaced. */
function comparable({ status, type, location, text }: Answer): object {
  const calm = text.replace(
    /"(createdAt|updatedAt)":"([^"]+)"/g,
    (field, name: string, at: string) => (at >= startedAt ? `"${name}":"since the start"` : field),
  );
  return { status, type, location, text: calm };
}

/** Carries the seed over, as a migration would; the identities go on where the sequences do. */
async function copyCatalog(): Promise<void> {
  const rows = await withClient(monolith.databaseUrl, async (client) => {
    const found = await client.query<{ categories: string; products: string }>(`
      SELECT (SELECT json_agg(json_build_object(
          'id', cat_id, 'code', cat_cd, 'title', cat_nm, 'parent_id', par_cat_id,
          'state', CASE sts WHEN 'A' THEN 'active' ELSE 'inactive' END) ORDER BY cat_id)
        FROM prdcat)::text AS categories,
      (SELECT json_agg(json_build_object(
          'id', prd_id, 'sku', prd_no, 'name', prd_nm, 'body', prd_dsc,
          'price_cents', (prc * 100)::bigint, 'currency', cur,
          'state', CASE sts WHEN 'A' THEN 'active' WHEN 'S' THEN 'suspended' ELSE 'discontinued' END,
          'category_id', cat_id, 'kind', prdcd, 'stock', stk_qty,
          'created_at', crt_dt AT TIME ZONE 'UTC', 'updated_at', upd_dt AT TIME ZONE 'UTC'))
        FROM prd)::text AS products`);
    return found.rows[0];
  });
  await withClient(service.databaseUrl, async (client) => {
    await client.query(
      'INSERT INTO category SELECT * FROM json_populate_recordset(NULL::category, $1)',
      [rows?.categories],
    );
    await client.query(
      'INSERT INTO product SELECT * FROM json_populate_recordset(NULL::product, $1)',
      [rows?.products],
    );
    await client.query(
      `INSERT INTO product_description
       SELECT id, body FROM json_to_recordset($1) AS r (id bigint, body text)`,
      [rows?.products],
    );
    await client.query(`SELECT setval('category_id_seq', max(id)) FROM category`);
    await client.query(`SELECT setval('product_id_seq', max(id)) FROM product`);
  });
}
