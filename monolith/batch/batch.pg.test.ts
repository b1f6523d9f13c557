// The batch jobs as real processes against a real database, past HTTP.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startMonolith, type RunningApp } from '../../test/contract/sample.ts';

let shop: RunningApp;

beforeAll(async () => {
  shop = await startMonolith({ products: 400, customers: 5, orders: 0 });
});

afterAll(() => shop.stop());

async function run(job: 'reprice' | 'restock', ...args: string[]) {
  const script = fileURLToPath(new URL(`./${job}.ts`, import.meta.url));
  const child = spawn(process.execPath, [script, ...args], {
    env: { ...process.env, DATABASE_URL: shop.databaseUrl },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { exitCode: child.exitCode, stdout, stderr };
}

test('reprices the products of one category, to the cent', async () => {
  const all = () =>
    shop
      .db('prd')
      .join('prdcat', 'prdcat.cat_id', 'prd.cat_id')
      .select<{ cat_cd: string; sts: string; prc: string }[]>(
        'prd_id',
        'cat_cd',
        'prd.sts',
        'prc',
        'stk_qty',
      )
      .orderBy('prd_id');
  const before = await all();
  const result = await run('reprice', '--category', 'HOME-2', '--percent', '1.5');
  const due = before.filter((row) => row.cat_cd === 'HOME-2' && row.sts !== 'D');
  expect(due.length).toBeGreaterThan(0);
  expect(result).toEqual({
    exitCode: 0,
    stdout: `{"job":"reprice","category":"HOME-2","percent":"1.5","rowsChanged":${due.length}}\n`,
    stderr: '',
  });
  const expected = before.map((row) =>
    due.includes(row) ? { ...row, prc: raised(row.prc) } : row,
  );
  expect(await all()).toEqual(expected);
});

/** One and a half per cent more, half a cent rounded up, in whole numbers. */
function raised(price: string): string {
  const thousandths = BigInt(price.replace('.', '')) * 1_015n;
  const cents = (thousandths + 500n) / 1_000n;
  return `${cents / 100n}.${String(cents % 100n).padStart(2, '0')}`;
}

test('restocks what has run low and writes the movements', async () => {
  const low = await shop
    .db('prd')
    .where('sts', 'A')
    .where('stk_qty', '<', 20)
    .orderBy('prd_id')
    .select<{ prd_id: number; stk_qty: number }[]>('prd_id', 'stk_qty');
  expect(low.length).toBeGreaterThan(0);
  const result = await run('restock', '--below', '20', '--quantity', '250');
  expect(JSON.parse(result.stdout)).toEqual({
    job: 'restock',
    below: 20,
    quantity: 250,
    rowsChanged: low.length,
  });
  const ids = low.map((row) => row.prd_id);
  const after = await shop.db('prd').whereIn('prd_id', ids).orderBy('prd_id').pluck('stk_qty');
  expect(after).toEqual(low.map((row) => row.stk_qty + 250));
  const moves = await shop.db('stkmv').where('mv_typ', 'B').orderBy('prd_id').pluck('prd_id');
  expect(moves).toEqual(ids);
});

test('tells a refusal of the database by its code and hint, changes nothing and ends with 1', async () => {
  await shop.db.raw(`
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'prd.prc - is closed' USING ERRCODE = 'P0042', HINT = 'ask the new owner'; END $$;
    CREATE TRIGGER refuse AFTER UPDATE ON prd FOR EACH ROW WHEN (OLD.prd_id % 2 = 0) EXECUTE FUNCTION refuse()`);
  try {
    const before = await shop.db('prd').orderBy('prd_id').pluck('prc');
    expect(await run('reprice', '--category', 'HOME-2', '--percent', '1.5')).toEqual({
      exitCode: 1,
      stdout: '',
      stderr: 'P0042: prd.prc - is closed\nhint: ask the new owner\n',
    });
    expect(await shop.db('prd').orderBy('prd_id').pluck('prc')).toEqual(before);
  } finally {
    await shop.db.raw('DROP TRIGGER refuse ON prd; DROP FUNCTION refuse()');
  }
});

test.each([
  [[], 2, '--category is missing'],
  [['--category', 'HOME', '--percent', 'lots'], 2, '--percent lots does not match'],
  [['--category', 'NONE', '--percent', '1'], 1, 'there is no category NONE'],
])('refuses %j with exit code %d', async (args, exitCode, message) => {
  const result = await run('reprice', ...args);
  expect(result.exitCode).toBe(exitCode);
  expect(result.stderr).toContain(message);
  expect(result.stdout).toBe('');
});
