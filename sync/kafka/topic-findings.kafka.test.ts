import { afterAll, beforeAll, expect, test } from '@jest/globals';
import kafkajs from 'kafkajs';
import { forget } from '../../test/support/retention.ts';
import { plainConnection, sharedKafka, type SharedKafka } from '../../test/support/kafka.ts';
import { silent } from '../../test/support/kafka-records.ts';
import { defineMigration } from '../../control/define.ts';
import type { Migration } from '../../control/definition.ts';
import { topicsOf } from '../../control/kafka-topics.ts';
import { kafkaClient } from '../../core/kafka/connect.ts';
import type { Admin } from '../../core/kafka/client.ts';
import { ensureTopics } from '../../core/kafka/topics.ts';
import { checkKafka } from './topic-findings.ts';

let kafka: SharedKafka;
let admin: Admin;

beforeAll(async () => {
  kafka = await sharedKafka();
  admin = await kafkaClient(kafka.connection, silent).admin();
});
afterAll(async () => {
  await admin.close();
});

const database = {
  capture: 'postgres://h/d',
  applier: 'postgres://h/d',
  coordinator: 'postgres://h/d',
};

function define(prefix: string, more: object = {}): Migration {
  return defineMigration({
    monolith: { upstream: 'http://m', database },
    services: { catalog: { upstream: 'http://s', database } },
    capabilities: {
      catalog: {
        service: 'catalog',
        routes: ['/api'],
        tables: [
          {
            monolith: 'prd',
            service: 'sales.Ware#1',
            key: { id: 'id' },
            columns: { nm: 'name' },
          },
        ],
      },
    },
    changeLog: { kafka: { brokers: ['k:1'], prefix, ...more } },
  });
}

function wanted(migration: Migration, source: string): ReturnType<typeof topicsOf> {
  if (migration.changeLog === 'direct') throw new Error('not Kafka');
  return topicsOf(migration, migration.changeLog.kafka, source);
}

test('topics are made as the definition says, once, and read back so', async () => {
  const migration = define('made', { topics: { retentionMs: 172_800_000 } });
  const topics = wanted(migration, 'monolith');
  await ensureTopics(admin, topics);
  await ensureTopics(admin, topics);
  const found = (await admin.topics(['made.monolith.changes'])).get('made.monolith.changes');
  expect(found).toMatchObject({
    ...{ partitions: 1, replication: 1 },
    config: {
      ...{ 'retention.ms': '172800000', 'cleanup.policy': 'delete' },
      'max.message.bytes': '16777216',
    },
  });
});

test('layout table has a topic a table, in the names that Debezium gives them', async () => {
  const migration = define('each', { layout: 'table', topics: { partitions: 3 } });
  const topics = wanted(migration, 'catalog');
  expect(topics.map(({ topic, partitions }) => [topic, partitions])).toEqual([
    ['each.catalog.sales.Ware_1', 3],
    ['each.catalog.transaction', 1],
    ['each.catalog.message', 1],
    ['__debezium-heartbeat.each.catalog', 1],
  ]);
  await ensureTopics(admin, topics);
  expect((await admin.topics(topics.map(({ topic }) => topic))).size).toBe(4);
});

test('an ordered topic with several partitions is not written to', async () => {
  const topics = wanted(define('split'), 'monolith');
  await admin.create(topics.map((topic) => ({ ...topic, partitions: 2 })));
  await expect(ensureTopics(admin, topics)).rejects.toMatchObject({
    code: 'KAFKA_REFUSED',
    message: 'topic split.monolith.changes has 2 partitions, and is to have 1',
  });
});

test('what the brokers have is held against the definition', async () => {
  const migration = define('held');
  await admin.create(
    wanted(migration, 'monolith').map((topic) => ({
      ...topic,
      partitions: 2,
      config: { 'retention.ms': '600000', 'cleanup.policy': 'compact' },
    })),
  );
  const findings = await checkKafka(migration, kafka.connection);
  expect(findings.map(({ severity, where, what }) => [severity, where, what.slice(0, 24)])).toEqual(
    [
      ['error', 'topic held.monolith.changes', 'it has 2 partitions, and'],
      ['error', 'topic held.monolith.changes', 'it is compacted: of seve'],
      ['warning', 'topic held.monolith.changes', 'it keeps changes for 10 '],
      ['warning', 'topic held.monolith.changes', 'there is one copy of it:'],
      ['warning', 'topic held.monolith.changes', 'it takes no record above'],
    ],
  );
});

test('a flow that retention overtakes, or soon will, is a finding', async () => {
  const migration = define('slow', { topics: { retentionMs: 172_800_000 } });
  const topic = 'slow.monolith.changes';
  await ensureTopics(admin, wanted(migration, 'monolith'));
  const producer = await kafkaClient(kafka.connection, silent).producer();
  const record = { topic, key: null, value: 'x', headers: {} };
  await producer.send(Array.from({ length: 200 }, () => record));
  await producer.close();
  const library = new kafkajs.Kafka({
    brokers: [...kafka.connection.brokers],
    logLevel: kafkajs.logLevel.NOTHING,
  }).admin();
  await library.connect();
  const foundAt = async (offset: number): Promise<string[]> => {
    const partitions = [{ partition: 0, offset: String(offset) }];
    await library.setOffsets({ groupId: 'slow.catalog:to', topic, partitions });
    const findings = await checkKafka(migration, kafka.connection);
    return findings.filter(({ what }) => what.startsWith('flow ')).map(({ what }) => what);
  };
  try {
    expect(await foundAt(1)).toEqual([]);
    await forget(kafka, topic, 100n);
    expect(await foundAt(150)).toEqual([]);
    expect(await foundAt(200)).toEqual([]);
    expect(await foundAt(105)).toEqual([
      expect.stringMatching(/^flow catalog:to is at offset 105 .* what retention deletes next$/),
    ]);
    expect(await foundAt(50)).toEqual([
      expect.stringMatching(/^flow catalog:to is at offset 50 .*, and it begins at 100 by now/),
    ]);
  } finally {
    await library.disconnect();
  }
});

test('brokers that do not answer are a finding; a direct change log asks nobody', async () => {
  const nowhere = plainConnection('127.0.0.1:1');
  expect(await checkKafka(define('x'), nowhere)).toMatchObject([
    { severity: 'error', where: 'kafka', what: expect.stringContaining('ECONNREFUSED') as unknown },
  ]);
  const direct = { ...define('x'), changeLog: 'direct' as const };
  expect(await checkKafka(direct, nowhere)).toEqual([]);
});
