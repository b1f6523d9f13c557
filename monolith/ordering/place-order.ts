// Places an order: reads the products, takes their stock and writes the order, all in one
// transaction, so stock is never oversold and an order is taken as a whole or not at all. The
// products are locked in the order of their ids: two orders never wait for each other in a circle.
// Of prd only stk_qty and upd_dt are written.
import type { Knex } from 'knex';
import { UTC_NOW } from '../database.ts';
import { orProblem } from '../http/database-error.ts';
import { invalid, Problem, type Issue } from '../http/problem.ts';
import type { NewOrder } from './contract.ts';
import { moveStock } from './stock.ts';

interface LockedProduct {
  readonly prd_id: number;
  readonly prc: string;
  readonly cur: string;
  readonly sts: string;
  readonly stk_qty: number;
}

interface PricedLine {
  readonly productId: number;
  readonly quantity: number;
  readonly price: string;
}

/**
 * Gives the new order's id. Throws a 400 Problem for an unknown customer or product, 409 when the
 * customer is blocked, a product is not on sale or out of stock, or the reference is taken.
 */
export async function placeOrder(db: Knex, order: NewOrder): Promise<number> {
  return db.transaction(async (trx) => {
    await checkCustomer(trx, order.customerId);
    const products = await lockProducts(
      trx,
      order.lines.map((line) => line.productId),
    );
    const lines = priceLines(order, products);
    const currency = currencyOf(products);
    const orderId = await insertOrder(trx, order, lines, currency);
    await trx('ordl').insert(
      lines.map((line, index) => ({
        ord_id: orderId,
        ln_no: index + 1,
        prd_id: line.productId,
        qty: line.quantity,
        prc: line.price,
      })),
    );
    await moveStock(trx, {
      type: 'O',
      orderId,
      moves: lines.map((line) => ({ productId: line.productId, quantity: -line.quantity })),
    });
    return orderId;
  });
}

async function checkCustomer(trx: Knex, id: number): Promise<void> {
  const customer = await trx('cust')
    .where('cust_id', id)
    .first<{ sts: 'A' | 'B' } | undefined>('sts');
  if (!customer) throw invalid([{ path: 'customerId', message: 'there is no such customer' }]);
  if (customer.sts === 'B') throw new Problem(409, `customer ${id} is blocked`);
}

/** NO KEY: order lines written elsewhere, which only point at the product, need not wait. */
async function lockProducts(
  trx: Knex,
  ids: readonly number[],
): Promise<ReadonlyMap<number, LockedProduct>> {
  const rows = (await trx('prd')
    .select('prd_id', 'prc', 'cur', 'sts', 'stk_qty')
    .whereIn('prd_id', ids)
    .orderBy('prd_id')
    .forNoKeyUpdate()) as LockedProduct[];
  return new Map(rows.map((row) => [row.prd_id, row]));
}

function priceLines(
  order: NewOrder,
  products: ReadonlyMap<number, LockedProduct>,
): readonly PricedLine[] {
  const unknown: Issue[] = [];
  const refused: Issue[] = [];
  const lines: PricedLine[] = [];
  for (const [index, { productId, quantity }] of order.lines.entries()) {
    const product = products.get(productId);
    if (!product) {
      unknown.push({ path: `lines.${index}.productId`, message: 'there is no such product' });
      continue;
    }
    const path = `lines.${index}`;
    if (product.sts !== 'A') refused.push({ path, message: 'the product is not on sale' });
    else if (product.stk_qty < quantity)
      refused.push({ path, message: `only ${product.stk_qty} in stock` });
    lines.push({ productId, quantity, price: product.prc });
  }
  if (unknown.length > 0) throw invalid(unknown);
  if (refused.length > 0) throw new Problem(409, 'the order cannot be fulfilled', refused);
  return lines;
}

function currencyOf(products: ReadonlyMap<number, LockedProduct>): string {
  const [first = '', ...others] = new Set([...products.values()].map((product) => product.cur));
  if (others.length > 0) throw new Problem(409, 'the products of an order have one currency');
  return first;
}

async function insertOrder(
  trx: Knex,
  order: NewOrder,
  lines: readonly PricedLine[],
  currency: string,
): Promise<number> {
  const total = trx.raw(
    '(SELECT sum(prc * qty) FROM unnest(?::numeric[], ?::int[]) AS l (prc, qty))',
    [lines.map((line) => line.price), lines.map((line) => line.quantity)],
  );
  const insert = trx('ord')
    .insert({
      cust_id: order.customerId,
      ref: order.reference ?? null,
      ord_sts: 'O',
      cur: currency,
      tot: total,
      crt_dt: trx.raw(UTC_NOW),
      upd_dt: trx.raw(UTC_NOW),
    })
    .returning('ord_id');
  const [row] = (await orProblem(insert, {
    uq_ord_ref: () =>
      new Problem(409, `there is already an order with reference ${order.reference ?? ''}`),
  })) as { ord_id: number }[];
  if (!row) throw new Error('INSERT INTO ord returned no row');
  return row.ord_id;
}
