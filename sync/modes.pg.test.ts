// Who owns which column while a switch goes on: what stays with the monolith and what moves are
// written at the same time, on both sides, around many cutovers and rollbacks. Nothing is lost, and
// nothing older ever overwrites something newer. Keys that both sides hand out never meet.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type pg from 'pg';
import { sleep } from '../core/lifecycle.ts';
import { connect, sqlState } from '../core/postgres/connect.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';

let pair: Pair;
let sync: RunningSync;
let shop: pg.Client;
let catalog: pg.Client;
let stock: pg.Client;

const ROWS = 12;
const SWITCHES = Number(process.env['SWITCHES'] ?? 3);

beforeEach(async () => {
  pair = await createPair();
  [shop, catalog, stock] = [
    await connect(pair.monolithAppUrl, SESSION),
    await connect(pair.serviceAppUrl, SESSION),
    await connect(pair.monolithAppUrl, SESSION),
  ];
  await shop.query(
    `INSERT INTO prd (no, nm, prc, upd) SELECT 'N' || i, '0', 1, '2000-01-01' FROM generate_series(1, ${ROWS}) i`,
  );
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
  await advanceTo(pair, 'canary');
});

afterEach(async () => {
  await sync.stop();
  for (const client of [shop, catalog, stock]) await client.end();
  await pair.close();
});

/** Tries the owner of the moment first, then the other: what a client of the facade sees as one write. */
async function write(
  statements: { readonly monolith: string; readonly service: string },
  first: { side: 'monolith' | 'service' },
): Promise<void> {
  for (;;) {
    try {
      await (first.side === 'monolith' ? shop : catalog).query(statements[first.side]);
      return;
    } catch (error) {
      if (sqlState(error) !== 'BN001') throw error;
      first.side = first.side === 'monolith' ? 'service' : 'monolith';
    }
  }
}

test(
  'what moves and what stays are written through many switches, and every write is there',
  async () => {
    const over = new AbortController();
    let names = 0;
    let made = 0;
    let sold = 0;
    const owner: { side: 'monolith' | 'service' } = { side: 'monolith' };
    const writer = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const id = 1 + (names % ROWS);
        // A counter in the row: a lost or a doubled write shows.
        await write(
          {
            monolith: `UPDATE prd SET nm = (nm::int + 1)::text WHERE prd_id = ${id}`,
            service: `UPDATE product SET name = (name::int + 1)::text WHERE id = ${id}`,
          },
          owner,
        );
        names += 1;
        await sleep(1);
        if (names % 5 !== 0) continue;
        // The update meets the fence first: where it passes, no key that is handed out may be taken.
        await write(
          {
            monolith: `UPDATE prd SET prc = prc + 1 WHERE prd_id = 1; INSERT INTO prd (no, nm, prc) VALUES ('made ${names}', '0', 1)`,
            service: `UPDATE product SET price_cents = price_cents + 100 WHERE id = 1; INSERT INTO product (sku, name, price_cents, state) VALUES ('made ${names}', '0', 100, 'active')`,
          },
          owner,
        );
        made += 1;
      }
    };
    const seller = async (): Promise<void> => {
      while (!over.signal.aborted) {
        await stock.query('UPDATE prd SET stk = stk - 1 WHERE prd_id = $1', [1 + (sold % ROWS)]);
        sold += 1;
        await sleep(1);
      }
    };
    const writers = Promise.all([writer(), seller()]);
    for (let turn = 0; turn < SWITCHES; turn++) {
      await advanceTo(pair, 'cutover');
      await streaming(pair, 'back');
      await pair.coordinator().move({ capability: 'catalog', event: 'rollback' });
      await streaming(pair, 'to');
    }
    await advanceTo(pair, 'cutover');
    over.abort();
    await writers;
    await equal(pair);
    const { rows } = await pair.monolith.query(`
    SELECT sum(nm::int)::int AS names, -sum(stk)::int AS sold,
           count(*) FILTER (WHERE no LIKE 'made %')::int AS made FROM prd`);
    expect(rows).toEqual([{ names, sold, made }]);
    expect(names).toBeGreaterThan(50);
  },
  240_000 + 5_000 * SWITCHES,
);

test('shared columns are each side’s own, and a staying column starts with its default', async () => {
  const stamps = async (): Promise<unknown[]> => [
    (await shop.query('SELECT prd_id, upd FROM prd ORDER BY 1')).rows,
    (await catalog.query('SELECT id, updated_at FROM product ORDER BY 1')).rows,
  ];
  const before = await stamps();
  await shop.query(`UPDATE prd SET nm = '7'`);
  await equal(pair);
  await advanceTo(pair, 'cutover');
  await catalog.query(`UPDATE product SET name = '8'`);
  await equal(pair);
  expect(await stamps()).toEqual(before);
  await catalog.query(
    `INSERT INTO product (sku, name, price_cents, state) VALUES ('new', '0', 100, 'active')`,
  );
  await equal(pair);
  expect((await shop.query(`SELECT stk FROM prd WHERE no = 'new'`)).rows).toEqual([{ stk: 0 }]);
});

test('parts of a row that the service writes later, alone or in another order arrive', async () => {
  await advanceTo(pair, 'cutover');
  await catalog.query('ALTER TABLE product_text DROP CONSTRAINT product_text_product_id_fkey');
  await catalog.query(`INSERT INTO product_text VALUES (500, 'early')`);
  await streaming(pair, 'back');
  await catalog.query(
    `INSERT INTO product (id, sku, name, price_cents, state) VALUES (500, 'late', '0', 1, 'active')`,
  );
  await equal(pair);
  await catalog.query(`
    BEGIN; DELETE FROM product WHERE id = 1; DELETE FROM product_text WHERE product_id = 1;
    INSERT INTO product_text VALUES (1, 'before its product');
    INSERT INTO product (id, sku, name, price_cents, state) VALUES (1, 'again', '0', 1, 'active'); COMMIT`);
  await equal(pair);
  await catalog.query('TRUNCATE product_text');
  await equal(pair);
  // A long text that is not sent when its row gets another key.
  await catalog.query('ALTER TABLE product_text ALTER COLUMN body SET STORAGE EXTERNAL');
  await catalog.query(`INSERT INTO product_text VALUES (2, repeat('long ', 2000))`);
  await equal(pair);
  await catalog.query(`
    BEGIN; UPDATE product SET id = 600, name = 'moved' WHERE id = 2;
    UPDATE product_text SET product_id = 600 WHERE product_id = 2; COMMIT`);
  await equal(pair);
});
