// The code tables, read only: they change with a release, not through the API.
import { Router } from 'express';
import type { Knex } from 'knex';

const CODE_TABLES = {
  countries: { table: 'ctry', columns: { code: 'ctry_cd', name: 'ctry_nm' } },
  'customer-types': {
    table: 'custtyp',
    columns: { code: 'custtyp', name: 'custtyp_nm', discountPercent: 'disc_pct' },
  },
  'product-codes': { table: 'prdcd', columns: { code: 'prdcd', name: 'prdcd_nm' } },
};

export function codeRoutes(db: Knex): Router {
  const router = Router();
  for (const [name, { table, columns }] of Object.entries(CODE_TABLES)) {
    router.get(`/codes/${name}`, async (_request, response) => {
      response.json({ items: await db(table).select(columns).orderBy('code') });
    });
  }
  return router;
}
