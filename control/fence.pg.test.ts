// The fence on a real PostgreSQL: whatever a side does not own is refused, whoever writes and
// however; everything else passes as if nothing were there.
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type pg from 'pg';
import { connect, transaction, withClient } from '../core/postgres/connect.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { Participant, scalar } from './participant.ts';
import type { Owner } from './domain/phase.ts';

let pair: Pair;
let monolith: Participant;
let service: Participant;
let shop: pg.Client;
let catalog: pg.Client;

beforeAll(async () => {
  pair = await createPair();
  monolith = await open('monolith');
  service = await open('service');
  shop = await connect(pair.monolithAppUrl, SESSION);
  catalog = await connect(pair.serviceAppUrl, SESSION);
  await monolith.prepare(5);
  await service.prepare(5);
});

afterAll(async () => {
  await shop.end();
  await catalog.end();
  await monolith.close();
  await service.close();
  await pair.close();
});

/** The service owns; the monolith keeps `stk` and shares `upd`. */
beforeEach(async () => {
  await monolith.fence('monolith', 5);
  await service.fence('service', 5);
  await pair.monolith.query(`
    DELETE FROM ordl; DELETE FROM prd; DELETE FROM cat;
    INSERT INTO cat VALUES (1, 'root', NULL), (2, 'leaf', 1);
    INSERT INTO prd (prd_id, no, nm, prc, cat_id, stk) VALUES (1, 'A', 'a', 1, 2, 10), (2, 'B', 'b', 2, 2, 10)`);
  await pair.service.query(`
    TRUNCATE category, product, product_text;
    INSERT INTO product (id, sku, name, price_cents, state) VALUES (1, 'A', 'a', 100, 'active')`);
  await monolith.fence('service', 5);
});

async function open(side: Owner): Promise<Participant> {
  const logins =
    side === 'monolith'
      ? pair.connections.monolith.database
      : pair.connections.services['catalog']?.database;
  if (!logins) throw new Error('no logins');
  return Participant.open({
    capability: 'catalog',
    side,
    labels: { monolith: 'the monolith', service: 'service "catalog"' },
    logins,
    tables: pair.migration.capabilities['catalog']?.tables ?? [],
  });
}

const REFUSED = [
  ['an insert', `INSERT INTO prd (prd_id, no, nm, prc) VALUES (3, 'C', 'c', 1)`],
  ['an update of a moving column', `UPDATE prd SET nm = 'x' WHERE prd_id = 1`],
  ['an update of a moving column to NULL and from it', `UPDATE prd SET cat_id = NULL`],
  ['an update of a moving column together with a staying one', `UPDATE prd SET stk = 1, prc = 7`],
  ['an update of the key', `UPDATE prd SET prd_id = 77 WHERE prd_id = 1`],
  ['a delete', `DELETE FROM prd WHERE prd_id = 1`],
  ['a truncate', `TRUNCATE ordl, prd`],
  ['a truncate that cascades', `TRUNCATE cat CASCADE`],
  [
    'an upsert of a moving column',
    `INSERT INTO prd (prd_id, no, nm, prc) VALUES (1, 'A', 'x', 1) ON CONFLICT (prd_id) DO UPDATE SET nm = EXCLUDED.nm`,
  ],
  [
    'a MERGE',
    `MERGE INTO prd USING (VALUES (1)) AS v(id) ON v.id = prd_id WHEN MATCHED THEN UPDATE SET nm = 'm'`,
  ],
  ['a write through a function', `SELECT set_name(1, 'x')`],
] as const;

test.each(REFUSED)('%s is refused, and names the owner', async (_, statement) => {
  await shop.query(`
    CREATE OR REPLACE FUNCTION set_name(id bigint, name text) RETURNS void LANGUAGE sql SECURITY DEFINER AS
      $$ UPDATE public.prd SET nm = name WHERE prd_id = id $$`);
  const failed = shop.query(statement);
  await expect(failed).rejects.toMatchObject({ code: 'BN001' });
  await expect(failed).rejects.toThrow(/catalog.*owned by service "catalog"/);
  expect((await shop.query('SELECT nm FROM prd ORDER BY prd_id')).rows).toEqual([
    { nm: 'a' },
    { nm: 'b' },
  ]);
});

test('a constraint that an insert violates speaks before the fence, and nothing comes in', async () => {
  const taken = `INSERT INTO prd (prd_id, no, nm, prc) VALUES (1, 'A', 'x', 1)`;
  await expect(shop.query(taken)).rejects.toMatchObject({ code: '23505' });
  await expect(shop.query(`${taken} ON CONFLICT DO NOTHING`)).resolves.toMatchObject({
    rowCount: 0,
  });
});

test('COPY is refused as well', async () => {
  await shop.query(`CREATE TEMP TABLE IF NOT EXISTS more AS SELECT 9 AS id, 'Z' AS no`);
  await expect(
    shop.query(`INSERT INTO prd (prd_id, no, nm, prc) SELECT id, no, 'n', 1 FROM more`),
  ).rejects.toMatchObject({ code: 'BN001' });
});

test.each([
  ['a staying column', `UPDATE prd SET stk = stk - 1 WHERE prd_id = 1`],
  ['a shared column', `UPDATE prd SET upd = now() WHERE prd_id = 1`],
  [
    'a whole row that an ORM saves and that changes nothing but a staying column',
    `UPDATE prd SET no = no, nm = 'a', dsc = NULL, prc = 1.00, sts = 'A', cat_id = 2, stk = 3, upd = now() WHERE prd_id = 1`,
  ],
  [
    'an upsert that only changes a staying column',
    `INSERT INTO prd (prd_id, no, nm, prc, stk) VALUES (1, 'A', 'other', 1, 4) ON CONFLICT (prd_id) DO UPDATE SET stk = EXCLUDED.stk`,
  ],
  ['a lock', `SELECT * FROM prd FOR UPDATE`],
  ['a row that points to a fenced one', `INSERT INTO ordl VALUES (1, 1)`],
])('%s passes', async (_, statement) => {
  await shop.query(statement);
});

test('replica role does not slip by, nor does a role that is set to the applier', async () => {
  await transaction(pair.monolith, async () => {
    await pair.monolith.query('SET LOCAL session_replication_role = replica');
    await expect(pair.monolith.query(`UPDATE prd SET nm = 'x'`)).rejects.toMatchObject({
      code: 'BN001',
    });
  });
  const applier = await withClient(
    pair.connections.monolith.database?.applier ?? '',
    SESSION,
    (client) => scalar(client, 'SELECT session_user'),
  );
  await transaction(pair.monolith, async () => {
    await pair.monolith.query(`SET LOCAL ROLE ${applier}`);
    await expect(pair.monolith.query(`UPDATE prd SET nm = 'x'`)).rejects.toMatchObject({
      code: 'BN001',
    });
  });
});

test('the applier writes, and what cascades from its writes passes', async () => {
  await catalog.query(`INSERT INTO product_text VALUES (1, 'text')`);
  await service.fence('monolith', 5);
  await withClient(
    pair.connections.services['catalog']?.database?.applier ?? '',
    SESSION,
    async (client) => {
      await client.query(`UPDATE product SET name = 'applied' WHERE id = 1`);
      await client.query('DELETE FROM product WHERE id = 1');
    },
  );
  expect((await catalog.query('SELECT * FROM product_text')).rows).toEqual([]);
});

test('a cascade that somebody else sets off is refused', async () => {
  await shop.query(`
    CREATE TABLE supplier (id integer PRIMARY KEY);
    CREATE TABLE IF NOT EXISTS note (id integer)`);
  await pair.service.query('SELECT 1');
  await monolith.fence('monolith', 5);
  await shop.query(`
    INSERT INTO supplier VALUES (1);
    ALTER TABLE prd ADD COLUMN sup integer REFERENCES supplier ON DELETE CASCADE;
    UPDATE prd SET sup = 1`);
  await monolith.fence('service', 5);
  await expect(shop.query('DELETE FROM supplier')).rejects.toMatchObject({ code: 'BN001' });
  await shop.query('ALTER TABLE prd DROP COLUMN sup');
});

test('sessions with an old snapshot and prepared statements meet the fence', async () => {
  await monolith.fence('monolith', 5);
  const prepared = { name: 'save', text: 'UPDATE prd SET nm = $1 WHERE prd_id = 1' };
  await shop.query({ ...prepared, values: ['before'] });
  const old = await connect(pair.monolithAppUrl, SESSION);
  try {
    await old.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    await old.query('SELECT count(*) FROM cat');
    expect(await monolith.fence('service', 5)).toBe(true);
    await expect(old.query(`UPDATE prd SET nm = 'old snapshot'`)).rejects.toMatchObject({
      code: 'BN001',
    });
    await expect(shop.query({ ...prepared, values: ['after'] })).rejects.toMatchObject({
      code: 'BN001',
    });
  } finally {
    await old.end();
  }
});

test('the service inserts with the value that a staying column begins with, and no other', async () => {
  await catalog.query(
    `INSERT INTO product (id, sku, name, price_cents, state) VALUES (5, 'E', 'e', 1, 'active')`,
  );
  await expect(
    catalog.query(
      `INSERT INTO product (id, sku, name, price_cents, state, stock) VALUES (6, 'F', 'f', 1, 'active', 3)`,
    ),
  ).rejects.toMatchObject({ code: 'BN001' });
  await expect(catalog.query('UPDATE product SET stock = 4')).rejects.toThrow(/column stock/);
  await catalog.query(`UPDATE product SET name = 'own', stock = 0 WHERE id = 5`);
});

test('a writer in the way makes the fence give up in time, with nothing changed', async () => {
  await monolith.fence('monolith', 5);
  await shop.query('BEGIN');
  await shop.query(`UPDATE prd SET nm = 'busy' WHERE prd_id = 2`);
  const started = performance.now();
  expect(await monolith.fence('service', 5)).toBe(false);
  expect(performance.now() - started).toBeLessThan(4_000);
  expect((await monolith.blockers(0)).join()).toMatch(/pid \d+ .*UPDATE prd SET nm = \?/);
  await shop.query('COMMIT');
  await shop.query(`UPDATE prd SET nm = 'still mine' WHERE prd_id = 2`);
});

test('who only reads is in nobody’s way, and nobody’s data are told', async () => {
  await monolith.fence('monolith', 5);
  const reader = await connect(pair.monolithAppUrl, { applicationName: 'report' });
  const batch = await connect(pair.monolithAppUrl, { applicationName: 'nightly' });
  try {
    await reader.query('BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM prd');
    expect(await monolith.blockers(0)).toEqual([]);
    expect((await monolith.blockers(0, 'remove')).join()).toMatch(/report/);
    await batch.query('BEGIN');
    await batch.query(`UPDATE prd SET nm = 'Ann O''Hara', prc = 4711 WHERE no = 'secret'`);
    const [line = '', ...others] = await monolith.blockers(0);
    expect(others).toEqual([]);
    expect(line).toMatch(
      /^pid \d+ \(m_\w+_app, nightly, 00:00:0\d, idle in transaction\): UPDATE prd SET nm = \?, prc = \? WHERE no = \?$/,
    );
    await reader.query('COMMIT');
  } finally {
    await reader.end();
    await batch.end();
  }
});

test('a lower epoch changes nothing', async () => {
  expect(await monolith.fence('service', 6)).toBe(true);
  await expect(monolith.fence('monolith', 5)).rejects.toMatchObject({ code: 'STALE_COORDINATOR' });
  await expect(shop.query(`UPDATE prd SET nm = 'x'`)).rejects.toMatchObject({ code: 'BN001' });
  await pair.monolith.query('UPDATE banyan.ownership SET epoch = 5');
});

test('removed, it leaves no trace', async () => {
  const third = await createPair();
  try {
    const logins = third.connections.monolith.database;
    if (!logins) throw new Error('no logins');
    const side = await Participant.open({
      capability: 'catalog',
      side: 'monolith',
      labels: { monolith: 'm', service: 's' },
      logins,
      tables: third.migration.capabilities['catalog']?.tables ?? [],
    });
    await side.prepare(1);
    await side.fence('service', 1);
    await side.remove(1);
    await side.remove(1);
    await side.close();
    const { rows } = await third.monolith.query(`
      SELECT nspname FROM pg_namespace WHERE nspname = 'banyan'
      UNION ALL SELECT tgname FROM pg_trigger WHERE tgname LIKE 'banyan%'`);
    expect(rows).toEqual([]);
  } finally {
    await third.close();
  }
});
