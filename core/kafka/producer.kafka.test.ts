import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ROOT } from '../../test/support/command.ts';
import { testKafka, type TestKafka } from '../../test/support/kafka.ts';
import { readTopic, silent } from '../../test/support/kafka-records.ts';
import { kafkaClient } from './connect.ts';
import type { KafkaClient, KafkaRecord, Producer } from './client.ts';
import { ensureTopics } from './topics.ts';

let kafka: TestKafka;
let client: KafkaClient;

beforeAll(async () => {
  kafka = await testKafka();
  client = kafkaClient(kafka.connection, silent);
});
afterAll(async () => {
  await kafka.remove();
});

async function topic(name: string, partitions = 1, config = {}): Promise<string> {
  const admin = await client.admin();
  await ensureTopics(admin, [{ topic: name, partitions, config }]);
  await admin.close();
  return name;
}

const record = (name: string, value: string | null, key: string | null = null): KafkaRecord => ({
  ...{ topic: name, key, value },
  headers: {},
});

test.each(['none', 'gzip', 'zstd'] as const)(
  'records come out as they went in, with compression %s',
  async (compression) => {
    const name = await topic(`as-is-${compression}`);
    const producer = await kafkaClient({ ...kafka.connection, compression }, silent).producer();
    const sent: KafkaRecord[] = [
      { ...record(name, '{"lsn":18446744073709551615}', '{"id":1}'), headers: { a: 'ä', b: '' } },
      record(name, null, '{"id":1}'),
      record(name, 'x'.repeat(100_000)),
      ...Array.from({ length: 3_000 }, (_, index) => record(name, `${index}`, 'key')),
    ];
    await producer.send(sent);
    await producer.close();
    const found = await readTopic(client, name);
    expect(
      found.map(({ topic: of, key, value, headers }) => ({ topic: of, key, value, headers })),
    ).toEqual(sent);
  },
);

test("many records go to a team's topic that takes little at once, and one that is too large is named", async () => {
  const name = await topic('little', 2, { 'max.message.bytes': '20000' });
  const other = await topic('much');
  const producer = await client.producer();
  const some = Array.from({ length: 500 }, (_, index) => [
    record(name, `${index} ${'x'.repeat(400)}`, 'key'),
    record(other, `${index}`, 'key'),
  ]).flat();
  await producer.send(some);
  for (const one of [name, other])
    expect((await readTopic(client, one)).map(({ value }) => parseInt(value ?? '', 10))).toEqual(
      Array.from({ length: 500 }, (_, index) => index),
    );
  await expect(producer.send([record(name, 'x'.repeat(30_000))])).rejects.toMatchObject({
    code: 'KAFKA_REFUSED',
    message: expect.stringMatching(/while records are written to little: /) as unknown,
    hint: expect.stringMatching(/^Raise max\.message\.bytes/) as unknown,
  });
  await producer.close();
});

// As a process of its own: what Node warns of, it writes past the test's own `process`.
const SEND = `
import { createLogger } from './core/log.ts';
import { kafkaClient } from './core/kafka/connect.ts';
const connection = { brokers: [process.argv[1]], clientId: 'test', compression: 'none' };
const producer = await kafkaClient(connection, createLogger({}, 'silent')).producer();
await producer.send([{ topic: process.argv[2], key: null, value: 'a', headers: {} }]);
await producer.close();
`;

test('Node has nothing to warn of', async () => {
  const name = await topic('quiet');
  const [broker = ''] = kafka.connection.brokers;
  const { stderr } = await promisify(execFile)(
    process.execPath,
    [
      '--conditions=source',
      '--disable-warning=ExperimentalWarning',
      '--input-type=module',
      '-e',
      SEND,
      broker,
      name,
    ],
    { cwd: ROOT, env: { ...process.env, NODE_OPTIONS: '' } },
  );
  expect(stderr).toBe('');
  expect(await readTopic(client, name)).toHaveLength(1);
});

test('after a request that failed, nothing more is written', async () => {
  const [small, other] = [
    await topic('small', 1, { 'max.message.bytes': '2000' }),
    await topic('other'),
  ];
  const producer = await client.producer();
  await producer.send([record(small, 'a')]);
  const outcomes = await Promise.allSettled([
    producer.send([record(small, 'b'.repeat(5_000))]),
    producer.send([record(small, 'c')]),
    producer.send([record(other, 'd')]),
  ]);
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
  await expect(producer.send([record(other, 'e')])).rejects.toMatchObject({
    code: 'KAFKA_REFUSED',
    hint: expect.stringContaining('max.message.bytes') as unknown,
  });
  await producer.close();
  expect((await readTopic(client, small)).map(({ value }) => value)).toEqual(['a']);
  expect(await readTopic(client, other)).toEqual([]);
});

test('a topic that is not there is refused, not made', async () => {
  const producer = await client.producer();
  await expect(producer.send([record('nowhere', 'a')])).rejects.toMatchObject({
    code: 'KAFKA_REFUSED',
  });
  await producer.close();
  const admin = await client.admin();
  expect((await admin.topics(['nowhere'])).size).toBe(0);
  await admin.close();
});

test('a key goes where Java puts it, and a record that names its partition there', async () => {
  const name = await topic('keyed', 6);
  const producer = await client.producer();
  await producer.send([
    record(name, 'a', '{"id":1}'),
    record(name, 'b', '{"id":2}'),
    record(name, 'c', '{"id":1}'),
    { ...record(name, 'd'), partition: 5 },
  ]);
  await producer.close();
  const found = await readTopic(client, name);
  const at = (value: string): number | undefined =>
    found.find((one) => one.value === value)?.partition;
  expect(at('a')).toBe(at('c'));
  // What murmur2 gives, as org.apache.kafka.common.utils.Utils has it.
  expect([at('a'), at('b'), at('d')]).toEqual([0, 4, 5]);
});

test('a broker that is killed and comes again has all that was acknowledged, once and in order', async () => {
  const name = await topic('killed');
  const acknowledged: number[] = [];
  let next = 0;
  let producer = await client.producer();
  const over = new AbortController();
  const reopened = async (): Promise<Producer> => {
    for (;;) {
      const fresh = await client.producer().catch(() => undefined);
      if (fresh) return fresh;
    }
  };
  const writing = (async () => {
    while (!over.signal.aborted) {
      const from = next;
      const values = Array.from({ length: 20 }, (_, index) => from + index);
      try {
        await producer.send(values.map((value) => record(name, String(value))));
        acknowledged.push(...values);
        next += 20;
      } catch {
        // As a relay does: a new producer, from what was acknowledged.
        await producer.close();
        producer = await reopened();
      }
    }
  })();
  for (let kills = 0; kills < 2; kills++) {
    const before = acknowledged.length;
    while (acknowledged.length < before + 500) await delay(10);
    await kafka.kill();
    await kafka.start();
  }
  const before = acknowledged.length;
  while (acknowledged.length < before + 500) await delay(10);
  over.abort();
  await writing;
  await producer.close();
  const values = (await readTopic(client, name)).map(({ value }) => Number(value));
  // What a new producer writes again is the last request at most; the rest is there once.
  const first = [...new Set(values)];
  expect(first).toEqual(Array.from({ length: next }, (_, index) => index));
  expect(acknowledged).toEqual(first);
}, 180_000);
