// The sample migration: the catalog of the legacy shop (monolith/) becomes a service
// (extracted/catalog/). `npm run demo` runs exactly this file; with `--kafka` it names its broker here.
import { defineMigration, env, scale, values } from 'banyan';

const broker = process.env['DEMO_KAFKA'] ?? '';

export default defineMigration({
  control: env('BANYAN_CONTROL_URL'),
  monolith: {
    upstream: env('MONOLITH_URL', 'http://127.0.0.1:3000'),
    database: {
      capture: env('MONOLITH_CAPTURE_URL'),
      applier: env('MONOLITH_APPLIER_URL'),
      coordinator: env('MONOLITH_COORDINATOR_URL'),
    },
  },
  services: {
    catalog: {
      upstream: env('CATALOG_URL', 'http://127.0.0.1:3001'),
      database: {
        capture: env('CATALOG_CAPTURE_URL'),
        applier: env('CATALOG_APPLIER_URL'),
        coordinator: env('CATALOG_COORDINATOR_URL'),
      },
    },
  },
  changeLog: broker === '' ? 'direct' : { kafka: { brokers: [broker], prefix: 'shop' } },
  capabilities: {
    catalog: {
      service: 'catalog',
      routes: ['/api/products', '/api/products/:id', '/api/categories', '/api/categories/:id'],
      tables: [
        {
          monolith: 'prdcat',
          service: 'category',
          key: { cat_id: 'id' },
          columns: {
            cat_cd: 'code',
            cat_nm: 'title',
            par_cat_id: 'parent_id',
            sts: values('state', { A: 'active', I: 'inactive' }),
          },
        },
        {
          // One legacy row becomes two: the product and its description.
          monolith: 'prd',
          service: ['product', 'product_description'],
          key: { prd_id: { product: 'id', product_description: 'product_id' } },
          columns: {
            prd_no: 'sku',
            prd_nm: 'name',
            prd_dsc: 'product_description.body',
            prc: scale('price_cents', 100),
            cur: 'currency',
            sts: values('state', { A: 'active', S: 'suspended', D: 'discontinued' }),
            cat_id: 'category_id',
            prdcd: 'kind',
            crt_dt: 'created_at',
          },
          // Ordering goes on decrementing the stock in the monolith; the service shows it.
          stays: { stk_qty: { to: 'stock', default: 0 } },
          shared: { monolith: ['upd_dt'], service: ['updated_at'] },
        },
      ],
      // Ordering still joins products, so the monolith keeps a live, fenced copy.
      leaves: 'copy',
      canary: { rules: [{ header: 'user-agent', matches: 'iPhone', to: 'service' }] },
      shadow: { ignore: ['updatedAt', 'items.*.updatedAt'] },
    },
  },
});
