// Invoices of orders and the payments against them. An order has at most one invoice, and payments
// never exceed it; the payment that completes it marks invoice and order as paid.
import type { Knex } from 'knex';
import { z } from 'zod';
import { UTC_NOW } from '../database.ts';
import { orProblem } from '../http/database-error.ts';
import { id, paging } from '../http/input.ts';
import { readPage, type Page } from '../http/page.ts';
import { invalid, notFound, Problem } from '../http/problem.ts';

const METHODS = { card: 'C', transfer: 'T', 'direct-debit': 'D' } as const;
const METHOD_OF = { C: 'card', T: 'transfer', D: 'direct-debit' } as const;
const DAYS_TO_PAY = 30;

export const newInvoice = z.strictObject({ orderId: id });
export const newPayment = z.strictObject({
  amount: z
    .string()
    .regex(/^[0-9]{1,14}(\.[0-9]{1,2})?$/, 'must be a decimal such as "12.50"')
    .refine((amount) => /[1-9]/.test(amount), 'must be more than zero'),
  method: z.enum(['card', 'transfer', 'direct-debit']),
});
export const invoiceQuery = z.object({ ...paging, status: z.enum(['open', 'paid']).optional() });

interface InvoiceRow {
  readonly inv_id: number;
  readonly ord_id: number;
  readonly cust_id: number;
  readonly amt: string;
  readonly cur: string;
  readonly sts: 'O' | 'P';
  readonly due_dt: string;
  readonly crt_dt: string;
}

interface PaymentRow {
  readonly pay_id: number;
  readonly amt: string;
  readonly mth: 'C' | 'T' | 'D';
  readonly crt_dt: string;
}

const COLUMNS = ['inv_id', 'i.ord_id', 'cust_id', 'amt', 'i.cur', 'sts', 'due_dt', 'i.crt_dt'];

const joined = (db: Knex) => db('inv as i').join('ord as o', 'o.ord_id', 'i.ord_id');

export async function listInvoices(
  db: Knex,
  query: z.infer<typeof invoiceQuery>,
): Promise<Page<object>> {
  const from = joined(db);
  if (query.status) from.where('sts', query.status === 'open' ? 'O' : 'P');
  return readPage({ from, columns: COLUMNS, orderBy: 'inv_id', toItem: toInvoice }, query);
}

/** Throws a 404 Problem. */
export async function getInvoice(db: Knex, invoiceId: number): Promise<object> {
  const row = await joined(db).where('inv_id', invoiceId).first<InvoiceRow | undefined>(COLUMNS);
  if (!row) throw notFound('invoice', invoiceId);
  const payments = (await db('pay').where('inv_id', invoiceId).orderBy('pay_id')) as PaymentRow[];
  return { ...toInvoice(row), payments: payments.map(toPayment) };
}

/** Throws a 400 Problem for an unknown order, 409 unless it is open. */
export async function createInvoice(db: Knex, orderId: number): Promise<number> {
  return db.transaction(async (trx) => {
    const order = await trx('ord')
      .where('ord_id', orderId)
      .forUpdate()
      .first<{ ord_sts: string; tot: string; cur: string } | undefined>();
    if (!order) throw invalid([{ path: 'orderId', message: 'there is no such order' }]);
    if (order.ord_sts !== 'O') throw new Problem(409, `order ${orderId} is not open`);
    const insert = trx('inv')
      .insert({
        ord_id: orderId,
        amt: order.tot,
        cur: order.cur,
        due_dt: trx.raw(`(now() AT TIME ZONE 'UTC')::date + ?::int`, [DAYS_TO_PAY]),
      })
      .returning('inv_id');
    const [row] = (await orProblem(insert, {
      uq_inv_ord: () => new Problem(409, `order ${orderId} has an invoice already`),
    })) as { inv_id: number }[];
    if (!row) throw new Error('INSERT INTO inv returned no row');
    await markOrder(trx, orderId, 'I');
    return row.inv_id;
  });
}

/** Throws a 404 Problem, and a 409 when the payment is more than what is open. */
export async function payInvoice(
  db: Knex,
  invoiceId: number,
  payment: z.infer<typeof newPayment>,
): Promise<void> {
  await db.transaction(async (trx) => {
    const invoice = await trx('inv')
      .where('inv_id', invoiceId)
      .forUpdate()
      .first<{ ord_id: number } | undefined>('ord_id');
    if (!invoice) throw notFound('invoice', invoiceId);
    await trx('pay').insert({
      inv_id: invoiceId,
      amt: payment.amount,
      mth: METHODS[payment.method],
    });
    const { rows } = await trx.raw<{ rows: { over: boolean; paid: boolean }[] }>(
      `SELECT p.sum > i.amt AS over, p.sum = i.amt AS paid
       FROM inv i, (SELECT sum(amt) FROM pay WHERE inv_id = :id) p WHERE i.inv_id = :id`,
      { id: invoiceId },
    );
    if (rows[0]?.over) throw new Problem(409, 'the payment is more than what is open');
    if (!rows[0]?.paid) return;
    await trx('inv').where('inv_id', invoiceId).update({ sts: 'P' });
    await markOrder(trx, invoice.ord_id, 'P');
  });
}

async function markOrder(trx: Knex, orderId: number, state: 'I' | 'P'): Promise<void> {
  await trx('ord')
    .where('ord_id', orderId)
    .update({ ord_sts: state, upd_dt: trx.raw(UTC_NOW) });
}

function toInvoice(row: InvoiceRow) {
  return {
    id: row.inv_id,
    orderId: row.ord_id,
    customerId: row.cust_id,
    amount: row.amt,
    currency: row.cur,
    status: row.sts === 'O' ? 'open' : 'paid',
    dueDate: row.due_dt,
    createdAt: row.crt_dt,
  };
}

function toPayment(row: PaymentRow) {
  return {
    id: row.pay_id,
    amount: row.amt,
    method: METHOD_OF[row.mth],
    createdAt: row.crt_dt,
  };
}
