// Tables that are not only the capability's: rows that `where` leaves out, parents that foreign keys point to,
// partitions with rights and a replica identity of their own, keys of another type at the other side.
import { afterEach, expect, test } from '@jest/globals';
import { createPair, type Pair } from '../test/support/pair.ts';
import {
  advanceTo,
  equal,
  noteClean,
  startSync,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';

let pair: Pair | undefined;
let sync: RunningSync | undefined;

afterEach(async () => {
  await sync?.stop();
  await pair?.close();
  [sync, pair] = [undefined, undefined];
});

async function begin(options: Parameters<typeof createPair>[0]): Promise<Pair> {
  pair = await createPair(options);
  sync = startSync(pair);
  return pair;
}

test('a key that is a number at one side and text at the other goes over and back', async () => {
  const own = await begin({
    schemas: {
      monolith:
        'CREATE DOMAIN number AS bigint; CREATE SEQUENCE numbers; CREATE TABLE prd (prd_id number PRIMARY KEY DEFAULT nextval($$numbers$$), nm text)',
      service: 'CREATE TABLE product (id text PRIMARY KEY, name text)',
    },
    capability: {
      tables: [
        { monolith: 'prd', service: 'product', key: { prd_id: 'id' }, columns: { nm: 'name' } },
      ],
    },
  });
  await own.monolith.query(`INSERT INTO prd (nm) SELECT 'n' FROM generate_series(1, 5)`);
  await advanceTo(own, 'cutover');
  await own.service.query(`INSERT INTO product VALUES ('900', 'there')`);
  await streaming(own, 'back');
  await own.coordinator().move({ capability: 'catalog', event: 'rollback' });
  const rows = async (side: 'monolith' | 'service', text: string): Promise<unknown[]> =>
    (await own[side].query<object>(text)).rows;
  await equal(own, async () => ({
    monolith: await rows('monolith', 'SELECT prd_id::text AS id FROM prd ORDER BY 1'),
    service: await rows('service', 'SELECT id FROM product ORDER BY 1'),
  }));
  const { rows: made } = await own.monolith.query<{ prd_id: string }>(
    `INSERT INTO prd (nm) VALUES ('new') RETURNING prd_id`,
  );
  expect(Number(made[0]?.prd_id)).toBeGreaterThan(900);
});

test('a table that the monolith goes on writing, or whose parents it does, is not retired with its rights', async () => {
  const own = await begin({
    schemas: {
      monolith: `CREATE TABLE cust (cust_id int PRIMARY KEY);
        CREATE TABLE prd (prd_id bigint PRIMARY KEY, kind text NOT NULL, nm text, cust_id int REFERENCES cust)`,
      service: 'CREATE TABLE product (id bigint PRIMARY KEY, name text)',
    },
    capability: {
      leaves: 'nothing',
      tables: [
        {
          monolith: 'prd',
          service: 'product',
          key: { prd_id: 'id' },
          where: { kind: ['book'] },
          columns: { nm: 'name' },
        },
      ],
    },
  });
  await advanceTo(own, 'cutover');
  const refused = await advanceTo(own, 'retired').catch((error: unknown) => error as Error);
  expect(refused).toMatchObject({ code: 'GATE_REFUSED' });
  expect((refused as Error).message).toContain('"where"');
  expect((refused as Error).message).toContain('points to public.cust');
});

test('a table that the monolith’s views show is not retired with its rights', async () => {
  const own = await begin({
    schemas: {
      monolith:
        'CREATE TABLE prd (prd_id bigint PRIMARY KEY, nm text); CREATE TABLE ord (prd_id bigint)',
      service: 'CREATE TABLE product (id bigint PRIMARY KEY, name text)',
    },
    capability: {
      leaves: 'nothing',
      tables: [
        { monolith: 'prd', service: 'product', key: { prd_id: 'id' }, columns: { nm: 'name' } },
      ],
    },
  });
  await own.monolith.query(`CREATE SCHEMA reports; CREATE VIEW names AS SELECT nm FROM prd;
    CREATE MATERIALIZED VIEW reports.sold AS SELECT nm FROM ord JOIN prd USING (prd_id);
    CREATE VIEW orders AS SELECT * FROM ord`);
  await advanceTo(own, 'cutover');
  const refused = await advanceTo(own, 'retired').catch((error: unknown) => error);
  expect(refused).toMatchObject({
    code: 'GATE_REFUSED',
    details: {
      gates: expect.arrayContaining([
        expect.objectContaining({
          ...{ gate: 'tables free', verdict: 'fail' },
          note: 'view names reads prd; view reports.sold reads prd',
        }),
      ]),
    },
  });
  await own.monolith.query('DROP VIEW names; DROP MATERIALIZED VIEW reports.sold');
  await advanceTo(own, 'retired');
});

test('partitions are closed with their table', async () => {
  const own = await begin({
    schemas: {
      monolith: `CREATE TABLE ev (day int, id int, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
        CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM (0) TO (10)`,
      service: 'CREATE TABLE event (day int, id int, PRIMARY KEY (day, id))',
    },
    capability: {
      leaves: 'nothing',
      tables: [{ monolith: 'ev', service: 'event', key: { day: 'day', id: 'id' }, columns: {} }],
    },
  });
  await advanceTo(own, 'retired');
  const { rows } = await own.monolith.query(
    `SELECT acl.privilege_type FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) acl
      WHERE c.relname IN ('ev', 'ev_1') AND acl.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')`,
  );
  expect(rows).toEqual([]);
});

test('a write canary asks for the whole old row of each partition', async () => {
  const own = await begin({
    schemas: {
      monolith:
        'CREATE TABLE prd (id int PRIMARY KEY, nm text); ALTER TABLE prd REPLICA IDENTITY FULL',
      service: `CREATE TABLE product (id int PRIMARY KEY, name text) PARTITION BY RANGE (id);
        CREATE TABLE product_1 PARTITION OF product FOR VALUES FROM (0) TO (10000);
        ALTER TABLE product REPLICA IDENTITY FULL`,
    },
    capability: {
      canary: { writes: true },
      tables: [{ monolith: 'prd', service: 'product', key: { id: 'id' }, columns: { nm: 'name' } }],
    },
  });
  await advanceTo(own, 'canary');
  await streaming(own, 'to');
  await streaming(own, 'back');
  await noteClean(own);
  const refused = await own
    .coordinator()
    .move({ capability: 'catalog', event: 'weight', weight: 5 })
    .catch((error: unknown) => error as Error);
  expect(refused).toMatchObject({ code: 'SWITCH_UNDONE' });
  expect((refused as Error).message).toContain(
    'the replica identity of "public"."product_1" is not full',
  );
});
