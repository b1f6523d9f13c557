// Products in the table prd. Writes touch the catalog's own columns and upd_dt, never stk_qty.
import type { Knex } from 'knex';
import { UTC_NOW } from '../database.ts';
import { orProblem } from '../http/database-error.ts';
import { readPage, type Page } from '../http/page.ts';
import { invalid, notFound, Problem } from '../http/problem.ts';
import type {
  Kind,
  NewProduct,
  Product,
  ProductChange,
  ProductQuery,
  ProductStatus,
} from './contract.ts';

interface ProductRow {
  readonly prd_id: number;
  readonly prd_no: string;
  readonly prd_nm: string;
  readonly prd_dsc: string;
  readonly prc: string;
  readonly cur: string;
  readonly sts: 'A' | 'S' | 'D';
  readonly cat_id: number;
  readonly prdcd: Kind;
  readonly stk_qty: number;
  readonly crt_dt: string;
  readonly upd_dt: string;
}

const COLUMNS = [
  'prd_id',
  'prd_no',
  'prd_nm',
  'prd_dsc',
  'prc',
  'cur',
  'sts',
  'cat_id',
  'prdcd',
  'stk_qty',
  'crt_dt',
  'upd_dt',
] as const;

const STATUS_OF = { A: 'active', S: 'suspended', D: 'discontinued' } as const;
const STATE_OF: Readonly<Record<ProductStatus, ProductRow['sts']>> = {
  active: 'A',
  suspended: 'S',
  discontinued: 'D',
};

export async function listProducts(db: Knex, query: ProductQuery): Promise<Page<Product>> {
  const from = db('prd');
  if (query.status) from.where('sts', STATE_OF[query.status]);
  if (query.category)
    from.whereRaw('cat_id = (SELECT cat_id FROM prdcat WHERE cat_cd = ?)', query.category);
  if (query.q) {
    const pattern = `%${query.q.replace(/[\\%_]/g, '\\$&')}%`;
    from.where((either) => {
      void either.whereILike('prd_no', pattern).orWhereILike('prd_nm', pattern);
    });
  }
  return readPage({ from, columns: COLUMNS, orderBy: 'prd_id', toItem: toProduct }, query);
}

/** Throws a 404 Problem. */
export async function getProduct(db: Knex, id: number): Promise<Product> {
  const row = await db('prd').where('prd_id', id).first<ProductRow | undefined>(COLUMNS);
  if (!row) throw notFound('product', id);
  return toProduct(row);
}

/** Stock starts at 0. Throws a 409 Problem for a number that is taken, 400 for an unknown category. */
export async function insertProduct(db: Knex, product: NewProduct): Promise<Product> {
  const insert = db('prd').insert(toColumns(product)).returning(COLUMNS);
  const [row] = (await orProblem(insert, refusals(product))) as ProductRow[];
  if (!row) throw new Error('INSERT INTO prd returned no row');
  return toProduct(row);
}

/** Throws Problems as insertProduct does, and a 404. */
export async function updateProduct(db: Knex, id: number, change: ProductChange): Promise<Product> {
  const update = db('prd')
    .where('prd_id', id)
    .update({ ...toColumns(change), upd_dt: db.raw(UTC_NOW) })
    .returning(COLUMNS);
  const [row] = (await orProblem(update, refusals(change))) as ProductRow[];
  if (!row) throw notFound('product', id);
  return toProduct(row);
}

/** Order lines point at products for ever, so a product is never deleted, only discontinued. */
export async function discontinueProduct(db: Knex, id: number): Promise<void> {
  const changed = await db('prd')
    .where('prd_id', id)
    .update({ sts: STATE_OF.discontinued, upd_dt: db.raw(UTC_NOW) });
  if (changed === 0) throw notFound('product', id);
}

/** Knex leaves out what is undefined. */
function toColumns(product: ProductChange) {
  return {
    prd_no: product.number,
    prd_nm: product.name,
    prd_dsc: product.description,
    prc: product.price,
    cur: product.currency,
    sts: product.status && STATE_OF[product.status],
    cat_id: product.categoryId,
    prdcd: product.kind,
  };
}

function refusals(product: ProductChange): Record<string, () => Error> {
  return {
    uq_prd_no: () =>
      new Problem(409, `there is already a product with number ${product.number ?? ''}`),
    fk_prd_cat: () => invalid([{ path: 'categoryId', message: 'there is no such category' }]),
  };
}

function toProduct(row: ProductRow): Product {
  return {
    id: row.prd_id,
    number: row.prd_no,
    name: row.prd_nm,
    description: row.prd_dsc,
    price: row.prc,
    currency: row.cur,
    status: STATUS_OF[row.sts],
    categoryId: row.cat_id,
    kind: row.prdcd,
    stock: row.stk_qty,
    createdAt: row.crt_dt,
    updatedAt: row.upd_dt,
  };
}
