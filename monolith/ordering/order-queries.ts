// Reads orders: one with its lines, which are joined with the products they name, or a page of heads.
import type { Knex } from 'knex';
import { readPage, type Page } from '../http/page.ts';
import { notFound } from '../http/problem.ts';
import { STATE_OF, STATUS_OF, type OrderQuery, type OrderState } from './contract.ts';

interface HeadRow {
  readonly ord_id: number;
  readonly cust_id: number;
  readonly ref: string | null;
  readonly ord_sts: OrderState;
  readonly cur: string;
  readonly tot: string;
  readonly crt_dt: string;
  readonly upd_dt: string;
}

interface LineRow {
  readonly prd_id: number;
  readonly prd_no: string;
  readonly prd_nm: string;
  readonly qty: number;
  readonly prc: string;
}

const HEAD = ['ord_id', 'cust_id', 'ref', 'ord_sts', 'cur', 'tot', 'crt_dt', 'upd_dt'];

export async function listOrders(db: Knex, query: OrderQuery): Promise<Page<object>> {
  const from = db('ord');
  if (query.reference) from.where('ref', query.reference);
  if (query.customer) from.where('cust_id', query.customer);
  if (query.status) from.where('ord_sts', STATE_OF[query.status]);
  return readPage({ from, columns: HEAD, orderBy: 'ord_id', toItem: toHead }, query);
}

/** Throws a 404 Problem. */
export async function getOrder(db: Knex, id: number): Promise<object> {
  const head = await db('ord').where('ord_id', id).first<HeadRow | undefined>(HEAD);
  if (!head) throw notFound('order', id);
  const lines = (await db('ordl')
    .join('prd', 'prd.prd_id', 'ordl.prd_id')
    .where('ord_id', id)
    .select('ordl.prd_id', 'prd_no', 'prd_nm', 'qty', 'ordl.prc')
    .orderBy('ln_no')) as LineRow[];
  return { ...toHead(head), lines: lines.map(toLine) };
}

function toHead(row: HeadRow) {
  return {
    id: row.ord_id,
    customerId: row.cust_id,
    reference: row.ref,
    status: STATUS_OF[row.ord_sts],
    currency: row.cur,
    total: row.tot,
    createdAt: row.crt_dt,
    updatedAt: row.upd_dt,
  };
}

function toLine(row: LineRow) {
  return {
    productId: row.prd_id,
    productNumber: row.prd_no,
    productName: row.prd_nm,
    quantity: row.qty,
    price: row.prc,
  };
}
