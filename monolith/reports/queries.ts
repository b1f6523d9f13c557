// Reports: read-only SQL that joins over every module's tables, as reports in a monolith do.
import type { Knex } from 'knex';

const SALES_BY_CATEGORY = `
  SELECT c.cat_cd AS category, c.cat_nm AS name, p.cat_nm AS parent,
         count(DISTINCT o.ord_id) AS orders, sum(l.qty) AS units,
         sum(l.qty * l.prc) AS revenue
  FROM ordl l
  JOIN ord o ON o.ord_id = l.ord_id AND o.ord_sts <> 'C'
  JOIN prd ON prd.prd_id = l.prd_id
  JOIN prdcat c ON c.cat_id = prd.cat_id
  LEFT JOIN prdcat p ON p.cat_id = c.par_cat_id
  GROUP BY c.cat_id, p.cat_nm
  ORDER BY revenue DESC, c.cat_cd`;

const TOP_PRODUCTS = `
  SELECT prd.prd_id AS "productId", prd.prd_no AS number, prd.prd_nm AS name,
         k.prdcd_nm AS kind, sum(l.qty) AS units, sum(l.qty * l.prc) AS revenue
  FROM ordl l
  JOIN ord o ON o.ord_id = l.ord_id AND o.ord_sts <> 'C'
  JOIN prd ON prd.prd_id = l.prd_id
  JOIN prdcd k ON k.prdcd = prd.prdcd
  GROUP BY prd.prd_id, k.prdcd_nm
  ORDER BY units DESC, prd.prd_id
  LIMIT ?`;

const LOW_STOCK = `
  SELECT prd.prd_id AS "productId", prd.prd_no AS number, prd.prd_nm AS name,
         c.cat_cd AS category, prd.stk_qty AS stock, coalesce(m.sold, 0) AS sold
  FROM prd
  JOIN prdcat c ON c.cat_id = prd.cat_id
  LEFT JOIN LATERAL (
    SELECT -sum(qty) AS sold FROM stkmv
    WHERE stkmv.prd_id = prd.prd_id AND mv_typ IN ('O', 'C')
  ) m ON true
  WHERE prd.sts = 'A' AND prd.stk_qty < ?
  ORDER BY prd.stk_qty, prd.prd_id
  LIMIT ?`;

const REVENUE_BY_COUNTRY = `
  SELECT n.ctry_cd AS country, n.ctry_nm AS name, t.custtyp_nm AS "customerType",
         count(*) AS invoices, sum(i.amt) AS invoiced, coalesce(sum(p.paid), 0) AS paid
  FROM inv i
  JOIN ord o ON o.ord_id = i.ord_id
  JOIN cust c ON c.cust_id = o.cust_id
  JOIN ctry n ON n.ctry_cd = c.ctry_cd
  JOIN custtyp t ON t.custtyp = c.custtyp
  LEFT JOIN (SELECT inv_id, sum(amt) AS paid FROM pay GROUP BY inv_id) p ON p.inv_id = i.inv_id
  GROUP BY n.ctry_cd, t.custtyp
  ORDER BY n.ctry_cd, t.custtyp`;

export const salesByCategory = (db: Knex) => rows(db, SALES_BY_CATEGORY, []);

export const topProducts = (db: Knex, limit: number) => rows(db, TOP_PRODUCTS, [limit]);

/** Products on sale whose stock is below `threshold`, the emptiest first. */
export const lowStock = (db: Knex, threshold: number, limit: number) =>
  rows(db, LOW_STOCK, [threshold, limit]);

export const revenueByCountry = (db: Knex) => rows(db, REVENUE_BY_COUNTRY, []);

async function rows(db: Knex, sql: string, values: readonly number[]): Promise<object[]> {
  return (await db.raw<{ rows: object[] }>(sql, values)).rows;
}
