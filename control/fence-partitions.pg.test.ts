// The fence on a partitioned table: rows that go through the parent, rows that go into a partition
// directly, and partitions that come later.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type pg from 'pg';
import { connect } from '../core/postgres/connect.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { hasGaps, mendFence } from './fence-gaps.ts';
import { Participant } from './participant.ts';

let pair: Pair;
let side: Participant;
let shop: pg.Client;

const NOTHING = { partitions: [], restored: [], waiting: [], blockers: [] };

beforeAll(async () => {
  pair = await createPair({
    schemas: {
      monolith: `CREATE TABLE ev (id integer, at integer, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
        CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM (0) TO (10);
        CREATE TABLE ev_2 PARTITION OF ev FOR VALUES FROM (10) TO (20)`,
      service: 'CREATE TABLE ev (id integer, at integer, v text, PRIMARY KEY (id, at))',
    },
    capability: {
      tables: [{ monolith: 'ev', service: 'ev', key: { id: 'id', at: 'at' }, columns: { v: 'v' } }],
    },
  });
  const logins = pair.connections.monolith.database;
  if (!logins) throw new Error('no logins');
  side = await Participant.open({
    capability: 'catalog',
    side: 'monolith',
    labels: { monolith: 'the monolith', service: 'service "catalog"' },
    logins,
    tables: pair.migration.capabilities['catalog']?.tables ?? [],
  });
  shop = await connect(pair.monolithAppUrl, SESSION);
  await shop.query(`INSERT INTO ev VALUES (1, 1, 'a'), (2, 11, 'b')`);
  await side.prepare(1);
  await side.fence('monolith', 1);
  await side.fence('service', 1);
  await shop.query('CREATE TABLE ev_3 PARTITION OF ev FOR VALUES FROM (20) TO (30)');
});

afterAll(async () => {
  await shop.end();
  await side.close();
  await pair.close();
});

test.each([
  `INSERT INTO ev VALUES (3, 3, 'c')`,
  `INSERT INTO ev_1 VALUES (3, 3, 'c')`,
  `INSERT INTO ev VALUES (3, 23, 'c')`,
  `UPDATE ev SET v = 'x'`,
  `UPDATE ev_2 SET v = 'x'`,
  `UPDATE ev SET at = 12 WHERE id = 1`,
  `DELETE FROM ev_1`,
  `TRUNCATE ev`,
  `TRUNCATE ev_1`,
])('%s is refused', async (statement) => {
  await expect(shop.query(statement)).rejects.toMatchObject({ code: 'BN001' });
});

test('a partition that has come since cannot be truncated either, once the caretaker has seen it', async () => {
  await shop.query('CREATE TABLE ev_4 (LIKE ev INCLUDING ALL)');
  await shop.query('ALTER TABLE ev ATTACH PARTITION ev_4 FOR VALUES FROM (30) TO (40)');
  await expect(mendFence(side, 'service', 0)).rejects.toMatchObject({ code: 'STALE_COORDINATOR' });
  expect(await mendFence(side, 'service', 1)).toEqual({
    ...NOTHING,
    partitions: ['public.ev_3', 'public.ev_4'],
  });
  expect(await mendFence(side, 'service', 1)).toEqual(NOTHING);
  for (const table of ['ev_3', 'ev_4'])
    await expect(shop.query(`TRUNCATE ${table}`)).rejects.toMatchObject({ code: 'BN001' });
  const { rows } = await pair.monolith.query(
    `SELECT DISTINCT tgenabled FROM pg_trigger WHERE tgname LIKE 'banyan%'`,
  );
  expect(rows).toEqual([{ tgenabled: 'A' }]);
});

test.each([
  [
    'enabled again in the wrong way, all at once',
    ['ALTER TABLE ev DISABLE TRIGGER ALL', 'ALTER TABLE ev ENABLE TRIGGER ALL'],
    ['public.ev', 'public.ev_1', 'public.ev_2', 'public.ev_3', 'public.ev_4'],
  ],
  ['disabled', ['ALTER TABLE ev_1 DISABLE TRIGGER banyan_fence_update'], ['public.ev_1']],
  ['dropped', ['DROP TRIGGER banyan_fence_truncate ON ev'], ['public.ev']],
])('a trigger that somebody has %s stands again', async (_, statements, restored) => {
  for (const statement of statements) await pair.monolith.query(statement);
  expect(await hasGaps(side, 'service')).toBe(true);
  expect(await mendFence(side, 'service', 1)).toEqual({ ...NOTHING, restored });
  expect(await hasGaps(side, 'service')).toBe(false);
  const { rows } = await pair.monolith.query(
    `SELECT DISTINCT tgenabled FROM pg_trigger WHERE tgname LIKE 'banyan%'`,
  );
  expect(rows).toEqual([{ tgenabled: 'A' }]);
  for (const statement of [`UPDATE ev_1 SET v = 'x'`, 'TRUNCATE ev', 'TRUNCATE ev_3'])
    await expect(shop.query(statement)).rejects.toMatchObject({ code: 'BN001' });
});

test.each([
  ['another function', 'BEFORE TRUNCATE', 'public.allow()'],
  ['another moment', 'AFTER TRUNCATE', `banyan.fence('catalog', 'x', '')`],
  ['another capability', 'BEFORE TRUNCATE', `banyan.fence('other', 'x', '')`],
])('a trigger of the fence’s name with %s is not the fence', async (_, moment, call) => {
  await pair.monolith.query(`
    CREATE OR REPLACE FUNCTION public.allow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    DROP TRIGGER banyan_fence_truncate ON ev_3;
    CREATE TRIGGER banyan_fence_truncate ${moment} ON ev_3 EXECUTE FUNCTION ${call};
    ALTER TABLE ev_3 ENABLE ALWAYS TRIGGER banyan_fence_truncate`);
  expect(await mendFence(side, 'service', 1)).toEqual({ ...NOTHING, partitions: ['public.ev_3'] });
  await expect(shop.query('TRUNCATE ev_3')).rejects.toMatchObject({
    code: 'BN001',
    message: expect.stringContaining('service "catalog"'),
  });
});

test('a lock that cannot be had is no failure: the table waits, and who is in the way is told', async () => {
  await pair.monolith.query('DROP TRIGGER banyan_fence_truncate ON ev_3');
  await shop.query('BEGIN; LOCK TABLE ev_3 IN ROW EXCLUSIVE MODE');
  expect(await mendFence(side, 'service', 1)).toEqual({
    ...NOTHING,
    waiting: ['public.ev_3'],
    blockers: [expect.stringMatching(/^pid \d+ /)],
  });
  await shop.query('ROLLBACK');
  expect(await mendFence(side, 'service', 1)).toEqual({ ...NOTHING, partitions: ['public.ev_3'] });
});

test('a table that is attached with rows of its own is fenced like the others', async () => {
  await shop.query(
    `CREATE TABLE ev_5 (LIKE ev INCLUDING ALL); INSERT INTO ev_5 VALUES (9, 41, 'own')`,
  );
  await shop.query('ALTER TABLE ev ATTACH PARTITION ev_5 FOR VALUES FROM (40) TO (50)');
  for (const statement of [
    `UPDATE ev_5 SET v = 'x'`,
    'DELETE FROM ev_5',
    `INSERT INTO ev_5 VALUES (10, 42, 'x')`,
  ])
    await expect(shop.query(statement)).rejects.toMatchObject({ code: 'BN001' });
});

test('a fence that was planned before a partition came is not put up by that plan', async () => {
  await side.fence('monolith', 1);
  const plan = await side.planned('service');
  await shop.query('CREATE TABLE ev_6 PARTITION OF ev FOR VALUES FROM (50) TO (60)');
  expect(await side.fenceAs('service', plan, 1)).toBe(false);
  await shop.query(`INSERT INTO ev_6 VALUES (11, 51, 'still mine')`);
  const dropped = await side.planned('service');
  await shop.query('DROP TABLE ev_6');
  expect(await side.fenceAs('service', dropped, 1)).toBe(false);
  expect(await side.fenceAs('service', await side.planned('service'), 1)).toBe(true);
});

test('lifted, everything passes, and removed it leaves no trace in any partition', async () => {
  await side.fence('monolith', 1);
  await shop.query(`UPDATE ev SET v = 'mine'; TRUNCATE ev_1`);
  await side.remove(1);
  const { rows } = await pair.monolith.query(
    `SELECT tgname FROM pg_trigger WHERE tgname LIKE 'banyan%'`,
  );
  expect(rows).toEqual([]);
});
