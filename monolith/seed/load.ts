// Writes the seed into an empty, migrated database, in one transaction: rows travel as JSON, a few
// thousand a statement, and the sequences go on after the greatest id.
import type pg from 'pg';
import { categories, products } from './catalog-data.ts';
import { createRandom } from './random.ts';
import { customers, decimal, trade, type Row } from './trade-data.ts';

export interface SeedSize {
  readonly products: number;
  readonly customers: number;
  readonly orders: number;
}

export const DEFAULT_SIZE: SeedSize = { products: 10_000, customers: 2_000, orders: 3_000 };

const SEED = 20_230_102;
const ROWS_A_STATEMENT = 2_000;

const SEQUENCES = [
  ['seq_prdcat', 'prdcat', 'cat_id'],
  ['seq_prd', 'prd', 'prd_id'],
  ['seq_cust', 'cust', 'cust_id'],
  ['seq_ord', 'ord', 'ord_id'],
  ['seq_stkmv', 'stkmv', 'stkmv_id'],
  ['seq_inv', 'inv', 'inv_id'],
  ['seq_pay', 'pay', 'pay_id'],
] as const;

/** Gives the number of rows of each table. Fails on a database that has rows already. */
export async function seed(client: pg.Client, size: SeedSize): Promise<Record<string, number>> {
  const random = createRandom(SEED);
  const prdcat = categories();
  const prd = products(random, size.products, prdcat.length);
  const cust = customers(random, size.customers);
  const tables: Record<string, readonly Row[]> = {
    prdcat: prdcat.map((category) => ({ ...category })),
    prd: prd.map(({ cents, ...product }) => ({ ...product, prc: decimal(cents), cur: 'EUR' })),
    cust,
    ...(prd.length > 0 && cust.length > 0 && trade(random, size.orders, cust.length, prd)),
  };
  await client.query('BEGIN');
  for (const [table, rows] of Object.entries(tables)) await insert(client, table, rows);
  for (const [sequence, table, column] of SEQUENCES)
    await client.query(
      `SELECT setval('${sequence}', coalesce(max(${column}), 0) + 1, false) FROM ${table}`,
    );
  await client.query('COMMIT');
  await client.query('ANALYZE');
  return Object.fromEntries(Object.entries(tables).map(([table, rows]) => [table, rows.length]));
}

async function insert(client: pg.Client, table: string, rows: readonly Row[]): Promise<void> {
  const columns = Object.keys(rows[0] ?? {}).join(', ');
  for (let from = 0; from < rows.length; from += ROWS_A_STATEMENT) {
    const slice = rows.slice(from, from + ROWS_A_STATEMENT);
    await client.query(
      `INSERT INTO ${table} (${columns})
       SELECT ${columns} FROM json_populate_recordset(NULL::${table}, $1)`,
      [JSON.stringify(slice)],
    );
  }
}
