// Cancels an open order and puts its stock back, in one transaction. An order that has an invoice
// is finance's business and cannot be cancelled any more.
import type { Knex } from 'knex';
import { UTC_NOW } from '../database.ts';
import { notFound, Problem } from '../http/problem.ts';
import { STATUS_OF, type OrderState } from './contract.ts';
import { moveStock } from './stock.ts';

/** Throws a 404 Problem, and a 409 unless the order is open. */
export async function cancelOrder(db: Knex, orderId: number): Promise<void> {
  await db.transaction(async (trx) => {
    const order = await trx('ord')
      .where('ord_id', orderId)
      .forUpdate()
      .first<{ ord_sts: OrderState } | undefined>('ord_sts');
    if (!order) throw notFound('order', orderId);
    if (order.ord_sts !== 'O')
      throw new Problem(409, `order ${orderId} is ${STATUS_OF[order.ord_sts]}`);
    const lines = (await trx('ordl')
      .join('prd', 'prd.prd_id', 'ordl.prd_id')
      .where('ordl.ord_id', orderId)
      .select('ordl.prd_id', 'ordl.qty')
      .orderBy('prd.prd_id')
      .forNoKeyUpdate('prd')) as { prd_id: number; qty: number }[];
    await moveStock(trx, {
      type: 'C',
      orderId,
      moves: lines.map((line) => ({ productId: line.prd_id, quantity: line.qty })),
    });
    await trx('ord')
      .where('ord_id', orderId)
      .update({ ord_sts: 'C', upd_dt: trx.raw(UTC_NOW) });
  });
}
