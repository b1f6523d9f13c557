// Moves stock: every change of prd.stk_qty by the shop has its row in stkmv, written in the same
// transaction. Of prd only stk_qty and upd_dt are written. Callers that move several products lock
// them before, in the order of their ids.
import type { Knex } from 'knex';
import { invalid } from '../http/problem.ts';
import type { StockReceipt } from './contract.ts';

export interface Movement {
  /** Order, cancelled order, receipt, batch. */
  readonly type: 'O' | 'C' | 'R' | 'B';
  readonly orderId?: number;
  /** Quantities are signed: negative takes from stock. */
  readonly moves: readonly { readonly productId: number; readonly quantity: number }[];
}

const TAKE = `
  UPDATE prd SET stk_qty = prd.stk_qty + m.qty, upd_dt = (now() AT TIME ZONE 'UTC')
  FROM unnest(?::bigint[], ?::int[]) AS m (prd_id, qty)
  WHERE prd.prd_id = m.prd_id`;

/** Adds the quantities to the stock and writes the movements. Gives the number of products met. */
export async function moveStock(trx: Knex, { type, orderId, moves }: Movement): Promise<number> {
  const { rowCount } = await trx.raw<{ rowCount: number }>(TAKE, [
    moves.map((move) => move.productId),
    moves.map((move) => move.quantity),
  ]);
  if (rowCount !== moves.length) return rowCount;
  await trx('stkmv').insert(
    moves.map((move) => ({
      prd_id: move.productId,
      ord_id: orderId ?? null,
      mv_typ: type,
      qty: move.quantity,
    })),
  );
  return rowCount;
}

/** Goods have come in. Throws a 400 Problem for an unknown product. */
export async function receiveStock(db: Knex, receipt: StockReceipt): Promise<object> {
  return db.transaction(async (trx) => {
    if ((await moveStock(trx, { type: 'R', moves: [receipt] })) === 0)
      throw invalid([{ path: 'productId', message: 'there is no such product' }]);
    const product = await trx('prd')
      .where('prd_id', receipt.productId)
      .first<{ stk_qty: number }>('stk_qty');
    return { ...receipt, stock: product.stk_qty };
  });
}
