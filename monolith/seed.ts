// Fills an empty shop database with seed data that is the same on every machine.
//   DATABASE_URL=… node monolith/seed.ts [--products 10000] [--customers 2000] [--orders 3000]
// Migrates the schema first; prints the rows of each table as one JSON line.
import { parseArgs } from 'node:util';
import pg from 'pg';
import { migrateMonolith } from './migrate.ts';
import { DEFAULT_SIZE, seed, type SeedSize } from './seed/load.ts';

const databaseUrl = process.env['DATABASE_URL'];
if (!databaseUrl) throw new Error('DATABASE_URL is not set');
const size = sizeOf(process.argv.slice(2));
await migrateMonolith(databaseUrl);
const client = new pg.Client({ connectionString: databaseUrl, application_name: 'monolith-seed' });
await client.connect();
try {
  process.stdout.write(`${JSON.stringify(await seed(client, size))}\n`);
} finally {
  await client.end();
}

function sizeOf(args: string[]): SeedSize {
  const { values } = parseArgs({
    args,
    options: {
      products: { type: 'string' },
      customers: { type: 'string' },
      orders: { type: 'string' },
    },
  });
  return {
    products: count('products', values.products, DEFAULT_SIZE.products),
    customers: count('customers', values.customers, DEFAULT_SIZE.customers),
    orders: count('orders', values.orders, DEFAULT_SIZE.orders),
  };
}

function count(name: string, value: string | undefined, fallback: number): number {
  if (value === undefined) return fallback;
  if (!/^[0-9]{1,7}$/.test(value)) throw new Error(`--${name} ${value} is not a count`);
  return Number(value);
}
