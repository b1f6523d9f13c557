// The nightly price job: raises (or lowers) the prices of a category's products by a percentage,
// rounded to cents, straight in the database.
//   node monolith/batch/reprice.ts --category CODE --percent 1.5     (lower: --percent=-1.5)
// Products are locked in the order of their ids, as placing an order does.
import { parseArgs } from 'node:util';
import type pg from 'pg';
import { required, runJob } from './job.ts';

interface Options {
  readonly category: string;
  readonly percent: string;
}

const LOCK = `
  SELECT prd_id FROM prd
  WHERE cat_id = $1 AND sts <> 'D'
  ORDER BY prd_id FOR NO KEY UPDATE`;

const REPRICE = `
  UPDATE prd
  SET prc = round(prc * (100 + $2::numeric) / 100, 2), upd_dt = (now() AT TIME ZONE 'UTC')
  WHERE cat_id = $1 AND sts <> 'D'`;

await runJob({ name: 'reprice', options, work: reprice });

function options(): Options {
  const { values } = parseArgs({
    options: { category: { type: 'string' }, percent: { type: 'string' } },
  });
  return {
    category: required('category', values.category, /^[A-Z0-9-]{1,20}$/),
    percent: required('percent', values.percent, /^(-?[0-9]{1,2}|[0-9]{1,3})(\.[0-9]{1,4})?$/),
  };
}

async function reprice(client: pg.Client, { category, percent }: Options): Promise<object> {
  const found = await client.query<{ cat_id: string }>(
    'SELECT cat_id FROM prdcat WHERE cat_cd = $1',
    [category],
  );
  const categoryId = found.rows[0]?.cat_id;
  if (categoryId === undefined) throw new Error(`there is no category ${category}`);
  await client.query(LOCK, [categoryId]);
  const { rowCount } = await client.query(REPRICE, [categoryId, percent]);
  return { category, percent, rowsChanged: rowCount ?? 0 };
}
