// Customers and their orders, with lines, stock movements, invoices and payments. Amounts are
// counted in cents and written as decimals; every order's total is the sum of its lines.
import type { SeedProduct } from './catalog-data.ts';
import { timestampAt, type Random } from './random.ts';

export type Row = Readonly<Record<string, string | number | null>>;

export interface Trade {
  readonly ord: Row[];
  readonly ordl: Row[];
  readonly stkmv: Row[];
  readonly inv: Row[];
  readonly pay: Row[];
}

const FIRST = [
  'Ada',
  'Ben',
  'Chloé',
  'Dirk',
  'Eva',
  'Finn',
  'Gül',
  'Hana',
  'Ivo',
  'Jörg',
  'Kim',
] as const;
const LAST = [
  'Arnold',
  'Berg',
  'Costa',
  'Dubois',
  'Eriksen',
  'Fischer',
  'Kowalska',
  'Rossi',
] as const;
const COUNTRIES = ['DE', 'DE', 'DE', 'AT', 'CH', 'FR', 'NL', 'IT', 'ES', 'PL', 'SE', 'GB'] as const;
const TYPES = ['P', 'P', 'P', 'P', 'P', 'B', 'B', 'W', 'E'] as const;
const METHODS = ['C', 'T', 'D'] as const;

export const decimal = (cents: number): string => (cents / 100).toFixed(2);

export function customers(random: Random, count: number): Row[] {
  return Array.from({ length: count }, (_, index): Row => {
    const first = random.pick(FIRST);
    const last = random.pick(LAST);
    const created = timestampAt(random.int(0, 600_000), random.int(0, 59_999));
    return {
      cust_id: index + 1,
      cust_nm: `${first} ${last}`,
      eml: `customer${index + 1}@example.com`,
      custtyp: random.pick(TYPES),
      ctry_cd: random.pick(COUNTRIES),
      sts: index > 0 && random.chance(0.01) ? 'B' : 'A',
      crt_dt: created,
      upd_dt: created,
    };
  });
}

/** Stock as seeded is what is left after these orders; they do not change it. */
export function trade(
  random: Random,
  count: number,
  customerCount: number,
  products: readonly SeedProduct[],
): Trade {
  const result: Trade = { ord: [], ordl: [], stkmv: [], inv: [], pay: [] };
  for (let ord_id = 1; ord_id <= count; ord_id++) {
    const minute = 700_000 + ord_id * 20;
    const crt_dt = timestampAt(minute, random.int(0, 59_999));
    const ord_sts = random.pick(['O', 'O', 'I', 'P', 'P', 'P', 'P', 'P', 'C'] as const);
    let total = 0;
    const chosen = pickProducts(random, products);
    chosen.forEach((product, index) => {
      const qty = random.int(1, 5);
      total += qty * product.cents;
      const line = { ord_id, prd_id: product.prd_id };
      result.ordl.push({ ...line, ln_no: index + 1, qty, prc: decimal(product.cents) });
      result.stkmv.push({ ...line, mv_typ: 'O', qty: -qty, crt_dt });
      if (ord_sts === 'C') result.stkmv.push({ ...line, mv_typ: 'C', qty, crt_dt });
    });
    const tot = decimal(total);
    const cust_id = random.int(1, customerCount);
    result.ord.push({
      ord_id,
      cust_id,
      ref: null,
      ord_sts,
      cur: 'EUR',
      tot,
      crt_dt,
      upd_dt: crt_dt,
    });
    if (ord_sts === 'I' || ord_sts === 'P')
      settle(random, result, { ord_id, minute, tot, ord_sts });
  }
  return result;
}

function settle(
  random: Random,
  result: Trade,
  order: { ord_id: number; minute: number; tot: string; ord_sts: 'I' | 'P' },
): void {
  const inv_id = result.inv.length + 1;
  const crt_dt = timestampAt(order.minute + 60, 0);
  const due_dt = timestampAt(order.minute + 30 * 24 * 60, 0).slice(0, 10);
  const paid = order.ord_sts === 'P';
  result.inv.push({
    inv_id,
    ord_id: order.ord_id,
    amt: order.tot,
    cur: 'EUR',
    sts: paid ? 'P' : 'O',
    due_dt,
    crt_dt,
  });
  if (!paid) return;
  result.pay.push({
    pay_id: result.pay.length + 1,
    inv_id,
    amt: order.tot,
    mth: random.pick(METHODS),
    crt_dt: timestampAt(order.minute + random.int(60, 20_000), 0),
  });
}

function pickProducts(random: Random, products: readonly SeedProduct[]): readonly SeedProduct[] {
  const wanted = Math.min(random.int(1, 4), products.length);
  const chosen = new Map<number, SeedProduct>();
  while (chosen.size < wanted) {
    const product = products[random.int(0, products.length - 1)];
    if (product) chosen.set(product.prd_id, product);
  }
  return [...chosen.values()];
}
