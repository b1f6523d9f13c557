// A Debezium connector that runs already brings the monolith's changes: its own engine, a real Kafka, and
// a service of another shape, which is equal in the end, whatever is sent twice and whoever dies.
import { afterEach, beforeAll, expect, test } from '@jest/globals';
import { kafkaClient } from '../../core/kafka/connect.ts';
import { waitFor } from '../../core/lifecycle.ts';
import { withClient } from '../../core/postgres/connect.ts';
import { SESSION } from '../../test/support/pair.ts';
import { preflight } from '../preflight.ts';
import type { Debezium } from '../../test/support/debezium.ts';
import {
  connectedPair,
  type ConnectedOptions,
  type ConnectedPair,
} from '../../test/support/connected.ts';
import { sharedKafka, type SharedKafka } from '../../test/support/kafka.ts';
import { seedShop, shopViews, writeLoad } from '../../test/support/load.ts';
import { silent } from '../../test/support/kafka-records.ts';
import { startRelay } from '../../test/support/relayed.ts';
import {
  advanceTo,
  equal,
  noteClean,
  startSync,
  stopped,
  streaming,
  type RunningSync,
} from '../../test/support/sync.ts';
import { longTest } from '../../test/support/long.ts';

let kafka: SharedKafka;
let pair: ConnectedPair;
let running: { connector?: Debezium; relay?: RunningSync; sync?: RunningSync } = {};

beforeAll(async () => {
  kafka = await sharedKafka();
}, 120_000);
afterEach(async () => {
  for (const what of ['sync', 'relay', 'connector'] as const) await running[what]?.stop();
  running = {};
  await pair.close();
});

async function begin(options: ConnectedOptions = {}): Promise<void> {
  pair = await connectedPair(kafka, options);
  await seedShop(pair);
  await pair.makeTopics();
}

test('copies, follows, switches, comes back: without a slot or relay of ours at the monolith', async () => {
  await begin();
  running.connector = await pair.connect();
  await advanceTo(pair, 'sync');
  running.sync = startSync(pair);
  await writeLoad(pair, 1, 150);
  await streaming(pair, 'to');
  await equal(pair, () => shopViews(pair));
  running.relay = startRelay(pair);
  await advanceTo(pair, 'cutover');
  await pair.service.query(`UPDATE product SET name = 'from the service' WHERE id < 50`);
  await pair.monolith.query(`UPDATE prd SET stk = stk + 3 WHERE prd_id < 60`);
  await streaming(pair, 'back');
  await streaming(pair, 'to');
  await equal(pair, () => shopViews(pair));
  const { rows } = await pair.monolith.query<{ slot: string }>(
    'SELECT slot_name AS slot FROM pg_replication_slots WHERE database = current_database()',
  );
  expect(rows).toEqual([{ slot: pair.source.slot }]);
}, 120_000);

/** Kills it, without a chance to say how far it came. */
async function kill(): Promise<void> {
  const { connector: killed } = running;
  if (killed) process.kill(-killed.pid, 'SIGKILL');
  await killed?.stop();
}

test('a connector that starts over with a snapshot sends no deletes of before it: the tables are copied again by themselves', async () => {
  await begin();
  running.connector = await pair.connect();
  await advanceTo(pair, 'sync');
  running.sync = startSync(pair);
  await streaming(pair, 'to');
  await equal(pair, () => shopViews(pair));
  await running.connector.stop();
  await pair.monolith.query(
    `DELETE FROM prd WHERE prd_id = 150; UPDATE prd SET nm = 'while it was away' WHERE prd_id = 149`,
  );
  pair.forget();
  running.connector = await pair.connect({ properties: { 'snapshot.mode': 'initial' } });
  await equal(pair, () => shopViews(pair));
  await pair.monolith.query(`UPDATE prd SET nm = 'and on' WHERE prd_id = 148`);
  await streaming(pair, 'to');
  await equal(pair, () => shopViews(pair));
  const { rows } = await pair.service.query('SELECT id FROM product WHERE id IN (149, 150)');
  expect(rows).toEqual([{ id: '149' }]);
}, 120_000);

longTest(
  'rows that a snapshot of the connector reads are taken, beside what goes on',
  async () => {
    await begin();
    running.connector = await pair.connect();
    await advanceTo(pair, 'sync');
    running.sync = startSync(pair);
    await streaming(pair, 'to');
    await running.connector.stop();
    const { applier = '' } = pair.connections.services['catalog']?.database ?? {};
    await withClient(applier, SESSION, (client) =>
      client.query(
        `UPDATE product SET name = 'not so' WHERE id < 20; DELETE FROM product WHERE id = 150`,
      ),
    );
    running.connector = await pair.connect({ properties: { 'snapshot.mode': 'always' } });
    // One that starts over sends no deletes of before its snapshot.
    await equal(pair, () => shopViews(pair));
    await writeLoad(pair, 2, 60);
    await equal(pair, () => shopViews(pair));
  },
  120_000,
);

longTest(
  'several partitions, a topic that is made late, a connector and a consumer that die: equal, and no row goes back in time',
  async () => {
    pair = await connectedPair(kafka, { partitions: 3 });
    await seedShop(pair);
    await pair.service.query(`
    CREATE TABLE seen (n bigint GENERATED ALWAYS AS IDENTITY, id bigint, cents bigint);
    CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
      BEGIN INSERT INTO seen (id, cents) VALUES (new.id, new.price_cents); RETURN NULL; END $$;
    CREATE TRIGGER see AFTER INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION see()`);
    running.connector = await pair.connect();
    await advanceTo(pair, 'sync');
    running.sync = startSync(pair);
    await streaming(pair, 'to').catch(() => undefined);
    await pair.makeTopics();
    await writeLoad(pair, 3, 60);
    await streaming(pair, 'to');
    await equal(pair, () => shopViews(pair));

    await pair.service.query('TRUNCATE seen');
    let at = 1_000_000;
    const raise = async (times: number): Promise<void> => {
      for (let round = 0; round < times; round++)
        await pair.monolith.query(`UPDATE prd SET prc = ${(at++).toFixed(2)} WHERE prd_id % 5 = 0`);
    };
    for (let round = 0; round < 2; round++) {
      await raise(40);
      await kill();
      await raise(20);
      running.connector = await pair.connect();
      await raise(20);
      await running.sync.stop();
      await raise(20);
      running.sync = startSync(pair);
    }
    await equal(pair, () => shopViews(pair));
    await streaming(pair, 'to');
    const { rows } = await pair.service.query(`
    SELECT id, cents, before FROM (SELECT *, lag(cents) OVER (PARTITION BY id ORDER BY n) AS before FROM seen) s
     WHERE before >= cents`);
    expect(rows).toEqual([]);
    const { rows: parked } = await pair.service.query('SELECT error FROM banyan.parked');
    expect(parked).toEqual([]);
  },
  180_000,
);

test('values that a mode of the connector has cut are refused, with the reason, before any has an effect', async () => {
  await begin();
  const lossy = { 'decimal.handling.mode': 'double' };
  running.connector = await pair.connect({ schemas: true, properties: lossy });
  await advanceTo(pair, 'sync');
  running.sync = startSync(pair);
  await streaming(pair, 'to');
  await pair.monolith.query(`UPDATE prd SET nm = 'by a double' WHERE prd_id = 1`);
  const { code, error } = await stopped(pair, 'to');
  expect(code).toBe('FLOW_STOPPED');
  expect(error).toMatch(
    /column prc of public\.prd .*decimal number came as a double.*decimal\.handling\.mode/,
  );
  const { rows } = await pair.service.query('SELECT name FROM product WHERE id = 1');
  expect(rows).toEqual([{ name: 'name 1' }]);
});

test('preflight names what the modes lose, what is not published, what is not there', async () => {
  pair = await connectedPair(kafka, { source: { modes: { decimals: 'double' } } });
  const look = async (): Promise<string> =>
    (await preflight(pair.migration, pair.connections))
      .map((one) => `${one.severity} ${one.where}: ${one.what} [${one.hint}]`)
      .join('\n');
  const before = await look();
  for (const expected of [
    /error connector of catalog: there is no replication slot d[0-9a-f]+ in/,
    /error connector of catalog: publication \S+ does not send public\.cat, public\.prd/,
    /error connector of catalog: public\.prd\.prc: a decimal number came as a double.*\[Set decimal/,
    /warning connector of catalog: public\.prd\.stk: a NULL|warning connector of catalog: there is no topic/,
  ])
    expect(before).toMatch(expected);
  await expect(
    pair.coordinator().move({ capability: 'catalog', event: 'advance' }),
  ).rejects.toThrow(/there is no replication slot/);
  running.connector = await pair.connect();
  expect(await look()).not.toMatch(/replication slot|does not send/);
});

test('a mapping by another key than chooses the partition is refused once there are several', async () => {
  pair = await connectedPair(kafka, {
    partitions: 3,
    schemas: {
      monolith: `
        CREATE TABLE prd (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, no text NOT NULL UNIQUE, nm text);
        ALTER TABLE prd REPLICA IDENTITY FULL`,
      service: 'CREATE TABLE product (no text PRIMARY KEY, name text)',
    },
    capability: {
      tables: [{ monolith: 'prd', service: 'product', key: { no: 'no' }, columns: { nm: 'name' } }],
    },
  });
  const expected = /records go to partitions by \(id\), and the mapping finds rows by \(no\)/;
  const found = async (): Promise<string[]> =>
    (await preflight(pair.migration, pair.connections))
      .filter(({ severity, what }) => severity === 'error' && expected.test(what))
      .map(({ where }) => where);
  running.connector = await pair.connect();
  expect(await found()).toEqual([]);
  await advanceTo(pair, 'sync');
  await pair.makeTopics();
  running.sync = startSync(pair);
  const { code, error } = await stopped(pair, 'to');
  expect([code, error]).toEqual(['FLOW_STOPPED', expect.stringMatching(expected)]);
  expect(await found()).toEqual(['connector of catalog']);
});

longTest(
  'a switch waits until the connector has confirmed the barrier, and all before it is there',
  async () => {
    await begin();
    running.connector = await pair.connect();
    await advanceTo(pair, 'sync');
    running.sync = startSync(pair);
    running.relay = startRelay(pair);
    await advanceTo(pair, 'canary');
    await streaming(pair, 'to');
    await streaming(pair, 'back');
    await noteClean(pair);
    const { pid } = running.connector;
    process.kill(-pid, 'SIGSTOP');
    try {
      await pair.monolith.query(`UPDATE prd SET nm = 'the last one' WHERE prd_id = 7`);
      await expect(
        pair.coordinator().move({ capability: 'catalog', event: 'advance' }),
      ).rejects.toMatchObject({ code: 'SWITCH_UNDONE' });
    } finally {
      process.kill(-pid, 'SIGCONT');
    }
    await advanceTo(pair, 'cutover');
    const { rows } = await pair.service.query('SELECT name FROM product WHERE id = 7');
    expect(rows).toEqual([{ name: 'the last one' }]);

    // And back: what the monolith changes from its fence on is its own again, and not before.
    await pair.service.query(`UPDATE product SET name = 'by the service' WHERE id < 30`);
    await pair.monolith.query('UPDATE prd SET stk = stk + 1 WHERE prd_id < 30');
    await streaming(pair, 'to');
    await streaming(pair, 'back');
    await pair.coordinator().move({ capability: 'catalog', event: 'rollback' });
    await pair.monolith.query(`UPDATE prd SET nm = 'by the monolith' WHERE prd_id < 10`);
    await equal(pair, () => shopViews(pair));
    const { rows: names } = await pair.service.query<{ name: string; n: number }>(
      'SELECT name, count(*)::int AS n FROM product WHERE id < 30 AND name LIKE $1 GROUP BY 1 ORDER BY 1',
      ['by the %'],
    );
    expect(names.map(({ name }) => name)).toEqual(['by the monolith', 'by the service']);
  },
  240_000,
);

/** A change of a product as a connector writes it that knows no origins. */
async function sendOriginless(id: number): Promise<void> {
  const { rows } = await pair.monolith.query<{ row: Record<string, unknown>; lsn: string }>(
    `SELECT jsonb_build_object('prd_id', prd_id, 'no', no, 'nm', nm || '!', 'dsc', dsc, 'prc', '', 'sts', sts,
              'cat_id', cat_id, 'stk', stk) AS row, pg_current_wal_insert_lsn() - '0/0' AS lsn
       FROM prd WHERE prd_id = $1`,
    [id],
  );
  const [found] = rows;
  const source = { schema: 'public', table: 'prd', lsn: Number(found?.lsn), txId: 1, ts_ms: 1 };
  const sequence = JSON.stringify([found?.lsn, found?.lsn]);
  // 5.00, as a precise decimal is written.
  const after = { ...found?.row, prc: Buffer.from([1, 0xf4]).toString('base64') };
  const producer = await kafkaClient(kafka.connection, silent).producer();
  await producer.send([
    {
      topic: `${pair.source.prefix}.public.prd`,
      key: JSON.stringify({ prd_id: id }),
      value: JSON.stringify({ before: null, after, source: { ...source, sequence }, op: 'u' }),
      headers: {},
    },
  ]);
  await producer.close();
}

test('where records do not say an origin there is no way back: it would go round for ever', async () => {
  await begin();
  running.connector = await pair.connect();
  await advanceTo(pair, 'sync');
  running.sync = startSync(pair);
  await advanceTo(pair, 'shadow');
  await sendOriginless(3);
  await waitFor(
    async () =>
      (await pair.service.query('SELECT 1 FROM banyan.log_offset WHERE originless')).rows.length >
      0,
    { timeoutMs: 30_000, what: 'the record to be taken' },
  );
  await streaming(pair, 'to');
  const canary = (): Promise<unknown> =>
    pair.coordinator().move({ capability: 'catalog', event: 'advance' });
  await expect(canary()).rejects.toMatchObject({ code: 'MOVE_NOT_ALLOWED' });
  await expect(canary()).rejects.toThrow(/source\.origin/);

  // A connector that says it, and then does not.
  await pair.monolith.query(`UPDATE prd SET nm = 'with an origin' WHERE prd_id = 4`);
  await waitFor(
    async () =>
      (await pair.service.query('SELECT 1 FROM banyan.log_offset WHERE originless')).rows.length ===
      0,
    { timeoutMs: 30_000, what: 'the record with an origin to be taken' },
  );
  running.relay = startRelay(pair);
  await advanceTo(pair, 'canary');
  await streaming(pair, 'back');
  await sendOriginless(5);
  const { code, error } = await stopped(pair, 'to');
  expect([code, error]).toEqual(['FLOW_STOPPED', expect.stringMatching(/source\.origin/)]);
  const { rows } = await pair.service.query('SELECT name FROM product WHERE id = 5');
  expect(rows).toEqual([{ name: 'name 5' }]);
}, 120_000);
