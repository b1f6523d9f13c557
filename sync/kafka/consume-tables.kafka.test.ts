// Debezium's layout, a topic a table and several partitions: each row keeps its order, rows that come
// before what they point to wait, and marks, barriers and switches mean what they mean in one sequence.
import { afterEach, beforeAll, expect, test } from '@jest/globals';
import { waitFor } from '../../core/lifecycle.ts';
import { kafkaClient } from '../../core/kafka/connect.ts';
import { seedShop, shopViews, writeLoad } from '../../test/support/load.ts';
import { readTopic, silent } from '../../test/support/kafka-records.ts';
import { sharedKafka, type SharedKafka } from '../../test/support/kafka.ts';
import type { Pair } from '../../test/support/pair.ts';
import {
  relayedPair,
  settingsOf,
  startRelay,
  type RelayedOptions,
} from '../../test/support/relayed.ts';
import { endOffsetOf, forget, widen } from '../../test/support/retention.ts';
import {
  advanceTo,
  equal,
  startSync,
  stopped,
  streaming,
  type RunningSync,
} from '../../test/support/sync.ts';
import { preflight } from '../preflight.ts';

let kafka: SharedKafka;
let pair: Pair;
let relay: RunningSync | undefined;
let sync: RunningSync | undefined;

beforeAll(async () => {
  kafka = await sharedKafka();
}, 120_000);
afterEach(async () => {
  await sync?.stop();
  await relay?.stop();
  [sync, relay] = [undefined, undefined];
  await pair.close();
});

async function begin(options: RelayedOptions = {}): Promise<void> {
  pair = await relayedPair(kafka, { layout: 'table', partitions: 3, ...options });
  relay = startRelay(pair);
  await seedShop(pair);
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
}

test('carries a copy under load, foreign keys across topics, a switch and the way back', async () => {
  await begin();
  await writeLoad(pair, 1, 150);
  await streaming(pair, 'to');
  await equal(pair, () => shopViews(pair));
  // Parents and children in one transaction: they come by different partitions.
  for (let round = 0; round < 30; round++)
    await pair.monolith.query(`
      INSERT INTO cat VALUES (${1000 + round}, 'late', NULL), (${2000 + round}, 'later', ${1000 + round});
      INSERT INTO prd (prd_id, no, nm, prc, cat_id) SELECT ${10_000 + round * 10} + i, 'C${round}-' || i, 'child', 1, ${2000 + round} FROM generate_series(1, 5) i`);
  await equal(pair, () => shopViews(pair));
  for (let round = 0; round < 30; round++)
    await pair.monolith.query(`
      DELETE FROM prd WHERE cat_id = ${2000 + round}; DELETE FROM cat WHERE cat_id = ${2000 + round}; DELETE FROM cat WHERE cat_id = ${1000 + round}`);
  await equal(pair, () => shopViews(pair));
  const letters = await pair.service.query('SELECT error FROM banyan.parked');
  expect(letters.rows).toEqual([]);
  const { rows } = await pair.service.query<{ topic: string; n: number }>(
    'SELECT topic, count(*)::int AS n FROM banyan.log_offset GROUP BY 1 ORDER BY 1',
  );
  expect(rows.map(({ n }) => n)).toEqual([3, 3]);
  await advanceTo(pair, 'cutover');
  await pair.service.query(`UPDATE product SET name = 'from the service' WHERE id < 50`);
  await pair.monolith.query(`UPDATE prd SET stk = stk + 3 WHERE prd_id < 60`);
  await streaming(pair, 'back');
  await streaming(pair, 'to');
  await equal(pair, () => shopViews(pair));
}, 120_000);

test('all partitions are used, and a restart goes on in each of them', async () => {
  await begin();
  await streaming(pair, 'to');
  for (let life = 0; life < 3; life++) {
    const load = writeLoad(pair, life, 60);
    await sync?.stop();
    sync = startSync(pair);
    await load;
  }
  await streaming(pair, 'to');
  await equal(pair, () => shopViews(pair));
  const topic = `${settingsOf(pair).prefix}.monolith.public.prd`;
  const records = await readTopic(kafkaClient(kafka.connection, silent), topic);
  const used = new Set(records.filter(({ key }) => key !== null).map((one) => one.partition));
  expect(used.size).toBe(3);
}, 120_000);

test('a row that moves to another partition without its long value is read again', async () => {
  await begin();
  await pair.monolith.query(`
    ALTER TABLE prd ALTER COLUMN dsc SET STORAGE EXTERNAL;
    UPDATE prd SET dsc = repeat('long', 4000) WHERE prd_id < 20`);
  await streaming(pair, 'to');
  await pair.monolith.query('UPDATE prd SET prd_id = prd_id + 90000 WHERE prd_id < 20');
  await equal(pair, () => shopViews(pair));
});

test('a topic that gets more partitions has its rows where they were, and is refused by a flow that begins', async () => {
  await begin();
  await streaming(pair, 'to');
  const topic = `${settingsOf(pair).prefix}.monolith.public.prd`;
  await widen(kafka, topic, 7);
  await pair.monolith.query(`UPDATE prd SET nm = 'since'`);
  await streaming(pair, 'to');
  await equal(pair, () => shopViews(pair));
  await sync?.stop();
  sync = startSync(pair);
  expect(await stopped(pair, 'to')).toMatchObject({
    code: 'KAFKA_LOG_LOST',
    error: expect.stringContaining('has 7 partitions, and had 3') as unknown,
  });
});

test('a TRUNCATE waits for the partitions of its table', async () => {
  await begin();
  await streaming(pair, 'to');
  await pair.monolith.query(`
    UPDATE prd SET nm = 'before' WHERE prd_id < 100;
    TRUNCATE prd CASCADE;
    INSERT INTO prd (prd_id, no, nm, prc) SELECT i, 'T' || i, 'after', 2 FROM generate_series(1, 40) i`);
  await equal(pair, () => shopViews(pair));
  const { rows } = await pair.service.query('SELECT count(*)::int AS n FROM product');
  expect(rows).toEqual([{ n: 40 }]);
});

test('a flow that has read all goes on though retention has deleted that, and stops where it had not', async () => {
  await begin({ partitions: 1 });
  const client = kafkaClient(kafka.connection, silent);
  const topics = ['cat', 'prd'].map(
    (table) => `${settingsOf(pair).prefix}.monolith.public.${table}`,
  );
  // A heartbeat may have come after the flow had stopped: that has not been read.
  const emptyOfWhatWasRead = async (): Promise<void> => {
    const { rows } = await pair.service.query<{ topic: string; next: string }>(
      'SELECT topic, next_offset::text AS next FROM banyan.log_offset',
    );
    expect(rows.map(({ topic }) => topic).sort()).toEqual(topics);
    for (const { topic, next } of rows) await forget(kafka, topic, BigInt(next));
  };
  const rename = (name: string): Promise<unknown> =>
    pair.monolith.query(`UPDATE prd SET nm = '${name}' WHERE prd_id = 1`);
  await streaming(pair, 'to');
  await sync?.stop();
  await emptyOfWhatWasRead();
  sync = startSync(pair);
  await streaming(pair, 'to');
  await rename('comes');
  await equal(pair, () => shopViews(pair));

  await sync.stop();
  const [, prd = ''] = topics;
  const before = await endOffsetOf(client, prd);
  await rename('lost on the way');
  await waitFor(async () => (await endOffsetOf(client, prd)) > before, {
    timeoutMs: 30_000,
    what: 'the relay to write it',
  });
  for (const topic of topics) await forget(kafka, topic, await endOffsetOf(client, topic));
  sync = startSync(pair);
  expect(await stopped(pair, 'to')).toMatchObject({ code: 'KAFKA_LOG_LOST' });
});

const BY_NUMBER: RelayedOptions = {
  schemas: {
    monolith: `
      CREATE TABLE item (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, no text NOT NULL UNIQUE, nm text);
      ALTER TABLE item REPLICA IDENTITY FULL`,
    service: 'CREATE TABLE article (no text PRIMARY KEY, name text)',
  },
  capability: {
    tables: [{ monolith: 'item', service: 'article', key: { no: 'no' }, columns: { nm: 'name' } }],
  },
};

test('a mapping by another key than chooses the partition is refused beforehand, and by a flow that begins', async () => {
  const expected = /records go to partitions by \(id\), and the mapping finds rows by \(no\)/;
  // With one partition it does no harm.
  pair = await relayedPair(kafka, { ...BY_NUMBER, layout: 'table' });
  relay = startRelay(pair);
  await advanceTo(pair, 'sync');
  const kafkaSettings = settingsOf(pair);
  const migration = {
    ...pair.migration,
    changeLog: {
      kafka: { ...kafkaSettings, topics: { ...kafkaSettings.topics, partitions: 3 } },
    },
  };
  const found = async (one: Pair['migration']): Promise<string[]> =>
    (await preflight(one, pair.connections))
      .filter(({ severity, what }) => severity === 'error' && expected.test(what))
      .map(({ where }) => where);
  expect(await found(pair.migration)).toEqual([]);
  expect(await found(migration)).toEqual(['records of catalog']);
  sync = startSync({ ...pair, migration });
  const { code, error } = await stopped(pair, 'to');
  expect([code, error]).toEqual(['FLOW_STOPPED', expect.stringMatching(expected)]);
});
