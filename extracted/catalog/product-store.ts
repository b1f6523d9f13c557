// Products, kept in two tables: product, and product_description for the long text. A product
// and its description are written in one transaction. Stock is read only here.
import type { Knex } from 'knex';
import type {
  Kind,
  NewProduct,
  Product,
  ProductChange,
  ProductQuery,
  ProductStatus,
} from './contract.ts';
import { orProblem } from './http/database-error.ts';
import { readPage, type Page } from './http/page.ts';
import { invalid, notFound, Problem } from './http/problem.ts';
import { toCents, toDecimal } from './money.ts';

interface ProductRow {
  readonly id: number;
  readonly sku: string;
  readonly name: string;
  readonly price_cents: number;
  readonly currency: string;
  readonly state: ProductStatus;
  readonly category_id: number;
  readonly kind: Kind;
  readonly stock: number;
  readonly created_at: string;
  readonly updated_at: string;
}

interface DescribedRow extends ProductRow {
  readonly body: string | null;
}

const COLUMNS = [
  'id',
  'sku',
  'name',
  'price_cents',
  'currency',
  'state',
  'category_id',
  'kind',
  'stock',
  'created_at',
  'updated_at',
] as const;

const DESCRIBED = [...COLUMNS, 'body'];

export async function listProducts(db: Knex, query: ProductQuery): Promise<Page<Product>> {
  const from = db('product');
  if (query.status) from.where('state', query.status);
  if (query.category)
    from.whereRaw('category_id = (SELECT id FROM category WHERE code = ?)', query.category);
  if (query.q) {
    const pattern = `%${query.q.replace(/[\\%_]/g, '\\$&')}%`;
    from.where((either) => {
      void either.whereILike('sku', pattern).orWhereILike('name', pattern);
    });
  }
  const body = db.raw(
    '(SELECT body FROM product_description WHERE product_id = product.id) AS body',
  );
  return readPage({ from, columns: [...COLUMNS, body], orderBy: 'id', toItem: toProduct }, query);
}

/** Throws a 404 Problem. */
export async function getProduct(db: Knex, id: number): Promise<Product> {
  const row = await db('product')
    .leftJoin('product_description', 'product_id', 'id')
    .where('id', id)
    .first<DescribedRow | undefined>(DESCRIBED);
  if (!row) throw notFound('product', id);
  return toProduct(row);
}

/** Throws a 409 Problem for a number that is taken, 400 for an unknown category. */
export async function insertProduct(db: Knex, product: NewProduct): Promise<Product> {
  return db.transaction(async (trx) => {
    const insert = trx('product').insert(toColumns(product)).returning(COLUMNS);
    const [row] = (await orProblem(insert, refusals(product))) as ProductRow[];
    if (!row) throw new Error('INSERT INTO product returned no row');
    await trx('product_description').insert({ product_id: row.id, body: product.description });
    return toProduct({ ...row, body: product.description });
  });
}

/** Throws Problems as insertProduct does, and a 404. */
export async function updateProduct(db: Knex, id: number, change: ProductChange): Promise<Product> {
  return db.transaction(async (trx) => {
    const update = trx('product')
      .where('id', id)
      .update({ ...toColumns(change), updated_at: trx.fn.now() });
    if ((await orProblem(update, refusals(change))) === 0) throw notFound('product', id);
    if (change.description !== undefined)
      await trx('product_description')
        .insert({ product_id: id, body: change.description })
        .onConflict('product_id')
        .merge();
    return getProduct(trx, id);
  });
}

/** Sold products live on in orders elsewhere, so a product is never deleted, only discontinued. */
export async function discontinueProduct(db: Knex, id: number): Promise<void> {
  const changed = await db('product')
    .where('id', id)
    .update({ state: 'discontinued', updated_at: db.fn.now() });
  if (changed === 0) throw notFound('product', id);
}

/** Knex leaves out what is undefined. */
function toColumns(product: ProductChange) {
  return {
    sku: product.number,
    name: product.name,
    price_cents: product.price === undefined ? undefined : toCents(product.price),
    currency: product.currency,
    state: product.status,
    category_id: product.categoryId,
    kind: product.kind,
  };
}

function refusals(product: ProductChange): Record<string, () => Error> {
  return {
    product_sku_key: () =>
      new Problem(409, `there is already a product with number ${product.number ?? ''}`),
    product_category_fkey: () =>
      invalid([{ path: 'categoryId', message: 'there is no such category' }]),
  };
}

function toProduct(row: DescribedRow): Product {
  return {
    id: row.id,
    number: row.sku,
    name: row.name,
    description: row.body ?? '',
    price: toDecimal(row.price_cents),
    currency: row.currency,
    status: row.state,
    categoryId: row.category_id,
    kind: row.kind,
    stock: row.stock,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
