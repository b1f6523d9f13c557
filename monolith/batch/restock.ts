// The warehouse's job: raises the stock of every product on sale that has run low, straight in the
// database, and writes the movements.
//   node monolith/batch/restock.ts [--below 20] [--quantity 100]
// Products are locked in the order of their ids, as placing an order does.
import { parseArgs } from 'node:util';
import type pg from 'pg';
import { required, runJob } from './job.ts';

interface Options {
  readonly below: number;
  readonly quantity: number;
}

const LOCK = `
  SELECT prd_id FROM prd
  WHERE sts = 'A' AND stk_qty < $1
  ORDER BY prd_id FOR NO KEY UPDATE`;

const RESTOCK = `
  UPDATE prd SET stk_qty = stk_qty + $2::int, upd_dt = (now() AT TIME ZONE 'UTC')
  WHERE prd_id = ANY ($1::bigint[])`;

const MOVEMENTS = `
  INSERT INTO stkmv (prd_id, mv_typ, qty)
  SELECT prd_id, 'B', $2::int FROM unnest($1::bigint[]) AS p (prd_id)`;

const COUNT = /^[1-9][0-9]{0,5}$/;

await runJob({ name: 'restock', options, work: restock });

function options(): Options {
  const { values } = parseArgs({
    options: {
      below: { type: 'string', default: '20' },
      quantity: { type: 'string', default: '100' },
    },
  });
  return {
    below: Number(required('below', values.below, COUNT)),
    quantity: Number(required('quantity', values.quantity, COUNT)),
  };
}

async function restock(client: pg.Client, { below, quantity }: Options): Promise<object> {
  const locked = await client.query<{ prd_id: string }>(LOCK, [below]);
  const ids = locked.rows.map((row) => row.prd_id);
  const { rowCount } = await client.query(RESTOCK, [ids, quantity]);
  await client.query(MOVEMENTS, [ids, quantity]);
  return { below, quantity, rowsChanged: rowCount ?? 0 };
}
