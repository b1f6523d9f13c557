// Columns that stay with the monolith after a cutover: shown by the service through any lens, and the
// monolith's own whatever becomes of the keys of their rows there.
import { afterEach, expect, test } from '@jest/globals';
import { sqlState } from '../core/postgres/connect.ts';
import { scale, values } from '../control/lenses.ts';
import { CLEAN, verified, viewsOf } from '../test/support/mapped.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startGated, streaming, type GatedSync } from '../test/support/sync.ts';

let pair: Pair;
let sync: GatedSync;

afterEach(async () => {
  await sync.stop();
  await pair.close();
});

async function cutOver(): Promise<void> {
  await advanceTo(pair, 'sync');
  sync = startGated(pair);
  await streaming(pair, 'to');
  await advanceTo(pair, 'cutover');
}

/** The small shop with six products, owned by the service. */
async function shop(): Promise<void> {
  pair = await createPair();
  await pair.monolith.query(
    `INSERT INTO prd (no, nm, prc, stk, dsc, upd) SELECT 'N' || i, 'n' || i, 1, i * 10, 't', '2020-01-01' FROM generate_series(1, 6) i`,
  );
  await cutOver();
}

const products = async (): Promise<unknown[]> =>
  (
    await pair.monolith.query<object>(
      `SELECT prd_id::int AS id, no, stk, dsc, upd < '2021-01-01' AS old FROM prd ORDER BY 1`,
    )
  ).rows;

test('a column that stays is shown through a lens', async () => {
  pair = await createPair({
    schemas: {
      monolith: `CREATE TABLE acct (id integer PRIMARY KEY, nm text NOT NULL, dep numeric(12,2) NOT NULL, risk char(1))`,
      service: `CREATE TABLE account (id integer PRIMARY KEY, name text NOT NULL, deposit_cents bigint NOT NULL DEFAULT 150, risk text)`,
    },
    capability: {
      tables: [
        {
          monolith: 'acct',
          service: 'account',
          key: { id: 'id' },
          columns: { nm: 'name' },
          stays: {
            dep: { ...scale('deposit_cents', 100), default: 1.5 },
            risk: values('risk', { H: 'high', L: 'low' }),
          },
        },
      ],
    },
  });
  const same = viewsOf(
    pair,
    `SELECT id, nm AS name, (dep * 100)::int AS cents, CASE risk WHEN 'H' THEN 'high' WHEN 'L' THEN 'low' END AS risk FROM acct ORDER BY id`,
    'SELECT id, name, deposit_cents::int AS cents, risk FROM account ORDER BY id',
  );
  await pair.monolith.query(`INSERT INTO acct VALUES (1, 'a', 12.34, 'H'), (2, 'b', 0, NULL)`);
  await cutOver();
  await equal(pair, same);
  await pair.monolith.query(`UPDATE acct SET dep = 99.99, risk = 'L' WHERE id = 2`);
  await pair.service.query(`INSERT INTO account (id, name) VALUES (3, 'c')`);
  await equal(pair, same);
  expect((await pair.monolith.query('SELECT dep, risk FROM acct WHERE id = 3')).rows).toEqual([
    { dep: '1.50', risk: null },
  ]);
  const refused = await pair.service
    .query(`INSERT INTO account (id, name, deposit_cents) VALUES (4, 'd', 1)`)
    .catch((error: unknown) => sqlState(error));
  expect(refused).toBe('BN001');
  expect(await verified(pair)).toEqual(CLEAN);
});

test('a row whose key the service changes keeps what the monolith alone knows of it', async () => {
  await shop();
  const move = (from: number, to: number): string => `
    DELETE FROM product_text WHERE product_id = ${from};
    UPDATE product SET id = ${to} WHERE id = ${from};
    INSERT INTO product_text VALUES (${to}, 'moved');`;
  // One moves, one moves twice, one moves to where another was deleted, two change places.
  await pair.service.query(`
    BEGIN; ${move(1, 71)} ${move(2, 50)} ${move(50, 72)} COMMIT;
    BEGIN; DELETE FROM product WHERE id = 3; ${move(4, 3)} COMMIT;
    BEGIN; ${move(5, 51)} ${move(6, 5)} ${move(51, 6)} COMMIT`);
  await equal(pair);
  expect(await products()).toEqual([
    { id: 3, no: 'N4', stk: 40, dsc: 'moved', old: true },
    { id: 5, no: 'N6', stk: 60, dsc: 'moved', old: true },
    { id: 6, no: 'N5', stk: 50, dsc: 'moved', old: true },
    { id: 71, no: 'N1', stk: 10, dsc: 'moved', old: true },
    { id: 72, no: 'N2', stk: 20, dsc: 'moved', old: true },
  ]);
  // What points to it moves along, where the monolith says so.
  await pair.monolith.query(`
    ALTER TABLE ordl DROP CONSTRAINT ordl_prd_id_fkey;
    ALTER TABLE ordl ADD FOREIGN KEY (prd_id) REFERENCES prd ON UPDATE CASCADE;
    INSERT INTO ordl VALUES (1, 71)`);
  await pair.service.query(`BEGIN; ${move(71, 81)} COMMIT`);
  await equal(pair);
  expect((await pair.monolith.query('SELECT prd_id::int FROM ordl')).rows).toEqual([
    { prd_id: 81 },
  ]);
  expect(await verified(pair)).toEqual(CLEAN);
});

test('a key that the service uses again is another row, whatever the monolith just wrote into the old one', async () => {
  await shop();
  sync.gate.shut();
  await pair.monolith.query('UPDATE prd SET stk = 999 WHERE prd_id IN (1, 2)');
  await pair.service.query(`
    BEGIN; DELETE FROM product WHERE id = 1; INSERT INTO product (id, sku, name, price_cents, state) VALUES (1, 'new', 'new', 1, 'active'); INSERT INTO product_text VALUES (1, 't'); COMMIT;
    BEGIN; DELETE FROM product_text WHERE product_id = 2; UPDATE product SET id = 80 WHERE id = 2; INSERT INTO product_text VALUES (80, 't'); COMMIT`);
  sync.gate.open();
  await equal(pair);
  const { rows } = await pair.service.query(
    'SELECT id::int, stock FROM product WHERE id IN (1, 80) ORDER BY 1',
  );
  expect(rows).toEqual([
    { id: 1, stock: 0 },
    { id: 80, stock: 999 },
  ]);
  expect(await verified(pair)).toEqual(CLEAN);
});

test('rows that the service puts in come back to it only where they show something else', async () => {
  await shop();
  await pair.service.query(`
    CREATE TABLE ledger (id bigint);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
      $$ BEGIN INSERT INTO public.ledger VALUES (NEW.id); RETURN NULL; END $$;
    CREATE TRIGGER note AFTER UPDATE ON product FOR EACH ROW EXECUTE FUNCTION note()`);
  await pair.service.query(
    `INSERT INTO product (id, sku, name, price_cents, state) SELECT i, 'S' || i, 'n', 1, 'active' FROM generate_series(100, 199) i`,
  );
  await equal(pair);
  await pair.monolith.query('UPDATE prd SET stk = 5 WHERE prd_id = 150');
  await equal(pair);
  expect((await pair.service.query('SELECT id::int FROM ledger')).rows).toEqual([{ id: 150 }]);
});

test('a long value that decides which rows belong need not be sent', async () => {
  const kind = 'k'.repeat(9_000);
  pair = await createPair({
    schemas: {
      monolith: `CREATE TABLE m (id integer PRIMARY KEY, kind text NOT NULL, nm text, stk integer NOT NULL DEFAULT 0);
        ALTER TABLE m ALTER COLUMN kind SET STORAGE EXTERNAL`,
      service: `CREATE TABLE s (id integer PRIMARY KEY, nm text, stock integer NOT NULL DEFAULT 0)`,
    },
    capability: {
      tables: [
        {
          ...{ monolith: 'm', service: 's', key: { id: 'id' }, columns: { nm: 'nm' } },
          ...{ stays: { stk: { to: 'stock', default: 0 } }, where: { kind } },
        },
      ],
    },
  });
  await pair.monolith.query(`INSERT INTO m VALUES (1, $1, 'a', 1), (2, 'other', 'b', 2)`, [kind]);
  await cutOver();
  await pair.monolith.query('UPDATE m SET stk = stk + 100');
  await equal(
    pair,
    viewsOf(
      pair,
      `SELECT id, nm, stk AS stock FROM m WHERE kind <> 'other'`,
      'SELECT id, nm, stock FROM s',
    ),
  );
});
