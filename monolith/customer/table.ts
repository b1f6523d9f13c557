// Customers in the table cust. A blocked customer keeps his history but places no order.
import type { Knex } from 'knex';
import { z } from 'zod';
import { UTC_NOW } from '../database.ts';
import { orProblem } from '../http/database-error.ts';
import { NOT_EMPTY, notEmpty, paging, text } from '../http/input.ts';
import { readPage, type Page } from '../http/page.ts';
import { invalid, notFound, Problem } from '../http/problem.ts';

const STATUSES = ['active', 'blocked'] as const;

const fields = {
  name: text(120),
  email: z.email().max(160),
  type: z.string().regex(/^[A-Z]$/, 'must be a customer type code'),
  country: z.string().regex(/^[A-Z]{2}$/, 'must be an ISO 3166 code'),
  status: z.enum(STATUSES),
};

export const newCustomer = z.strictObject({ ...fields, status: fields.status.default('active') });
export const customerChange = z.strictObject(fields).partial().refine(notEmpty, NOT_EMPTY);
export const customerQuery = z.object({
  ...paging,
  country: fields.country.optional(),
  status: fields.status.optional(),
});

type CustomerChange = z.infer<typeof customerChange>;

interface CustomerRow {
  readonly cust_id: number;
  readonly cust_nm: string;
  readonly eml: string;
  readonly custtyp: string;
  readonly ctry_cd: string;
  readonly sts: 'A' | 'B';
  readonly crt_dt: string;
  readonly upd_dt: string;
}

const COLUMNS = ['cust_id', 'cust_nm', 'eml', 'custtyp', 'ctry_cd', 'sts', 'crt_dt', 'upd_dt'];
const STATE_OF = { active: 'A', blocked: 'B' } as const;

export async function listCustomers(
  db: Knex,
  query: z.infer<typeof customerQuery>,
): Promise<Page<object>> {
  const from = db('cust');
  if (query.country) from.where('ctry_cd', query.country);
  if (query.status) from.where('sts', STATE_OF[query.status]);
  return readPage({ from, columns: COLUMNS, orderBy: 'cust_id', toItem: toCustomer }, query);
}

/** Throws a 404 Problem. */
export async function getCustomer(db: Knex, id: number): Promise<object> {
  const row = await db('cust').where('cust_id', id).first<CustomerRow | undefined>(COLUMNS);
  if (!row) throw notFound('customer', id);
  return toCustomer(row);
}

/** Throws a 409 Problem for an e-mail address that is taken, 400 for an unknown code. */
export async function insertCustomer(
  db: Knex,
  customer: z.infer<typeof newCustomer>,
): Promise<ReturnType<typeof toCustomer>> {
  const insert = db('cust').insert(toColumns(customer)).returning(COLUMNS);
  const [row] = (await orProblem(insert, REFUSALS)) as CustomerRow[];
  if (!row) throw new Error('INSERT INTO cust returned no row');
  return toCustomer(row);
}

/** Throws Problems as insertCustomer does, and a 404. */
export async function updateCustomer(
  db: Knex,
  id: number,
  change: CustomerChange,
): Promise<object> {
  const update = db('cust')
    .where('cust_id', id)
    .update({ ...toColumns(change), upd_dt: db.raw(UTC_NOW) })
    .returning(COLUMNS);
  const [row] = (await orProblem(update, REFUSALS)) as CustomerRow[];
  if (!row) throw notFound('customer', id);
  return toCustomer(row);
}

/** Knex leaves out what is undefined. */
function toColumns(customer: CustomerChange) {
  return {
    cust_nm: customer.name,
    eml: customer.email,
    custtyp: customer.type,
    ctry_cd: customer.country,
    sts: customer.status && STATE_OF[customer.status],
  };
}

const REFUSALS = {
  uq_cust_eml: () => new Problem(409, 'there is already a customer with this e-mail address'),
  fk_cust_typ: () => invalid([{ path: 'type', message: 'there is no such customer type' }]),
  fk_cust_ctry: () => invalid([{ path: 'country', message: 'there is no such country' }]),
};

function toCustomer(row: CustomerRow) {
  return {
    id: row.cust_id,
    name: row.cust_nm,
    email: row.eml,
    type: row.custtyp,
    country: row.ctry_cd,
    status: row.sts === 'A' ? 'active' : 'blocked',
    createdAt: row.crt_dt,
    updatedAt: row.upd_dt,
  };
}
