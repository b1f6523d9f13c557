import { getEventListeners } from 'node:events';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import kafkajs from 'kafkajs';
import { testKafka, type TestKafka } from '../../test/support/kafka.ts';
import { silent } from '../../test/support/kafka-records.ts';
import { waitFor } from '../lifecycle.ts';
import { kafkaClient } from './connect.ts';
import type { Assignment, Batch, Consumer, ConsumerOptions, KafkaClient } from './client.ts';
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

/** A topic whose partition holds the numbers from 0 up to `count`. */
async function numbers(topic: string, count: number, partitions = 1): Promise<string> {
  const admin = await client.admin();
  await ensureTopics(admin, [{ topic, partitions, config: {} }]);
  await admin.close();
  await write(topic, 0, count, partitions);
  return topic;
}

async function write(topic: string, from: number, to: number, partitions = 1): Promise<void> {
  const producer = await client.producer();
  const values = Array.from({ length: to - from }, (_, index) => String(from + index));
  await producer.send(
    Array.from({ length: partitions }, (_, partition) => partition).flatMap((partition) =>
      values.map((value) => ({ ...{ topic, partition, key: null, value }, headers: {} })),
    ),
  );
  await producer.close();
}

const direct = (): InstanceType<typeof kafkajs.Kafka> =>
  new kafkajs.Kafka({
    brokers: [...kafka.connection.brokers],
    logLevel: kafkajs.logLevel.NOTHING,
  });

/** Writes records in a transaction, and gives that up: they are there, and then its marker. */
async function giveUp(topic: string, values: readonly string[]): Promise<void> {
  const library = direct().producer({
    ...{ transactionalId: topic, idempotent: true, maxInFlightRequests: 1 },
  });
  await library.connect();
  const transaction = await library.transaction();
  await transaction.send({ topic, messages: values.map((value) => ({ value })) });
  await transaction.abort();
  await library.disconnect();
}

/** What `deleteRecords` and a retention that has passed both do. */
async function forget(topic: string, before: number): Promise<void> {
  const library = direct().admin();
  await library.connect();
  await library.fetchTopicOffsets(topic);
  await library.deleteTopicRecords({
    topic,
    partitions: [{ partition: 0, offset: String(before) }],
  });
  await library.disconnect();
}

interface Reading {
  readonly consumer: Consumer;
  readonly values: string[];
}

async function read(
  groupId: string,
  topic: string,
  offset: bigint,
  more: Partial<ConsumerOptions> = {},
): Promise<Reading> {
  const values: string[] = [];
  const consumer = await client.consumer({
    ...{ groupId, topics: [topic] },
    assigned: ({ partitions }) => Promise.resolve(partitions.map((one) => ({ ...one, offset }))),
    deliver: (batch) => {
      values.push(...batch.records.map(({ value }) => value ?? ''));
      return Promise.resolve();
    },
    ...more,
  });
  return { consumer, values };
}

const until = (probe: () => boolean, what: string): Promise<true> =>
  waitFor<true>(() => probe(), { timeoutMs: 30_000, what });

test('a member begins where its owner says, whatever the group has committed', async () => {
  const topic = await numbers('own-offsets', 100);
  const first = await read('own', topic, 90n);
  await until(() => first.values.length === 10, 'the last ten');
  await first.consumer.commit([{ topic, partition: 0, offset: 100n }]);
  await first.consumer.close();
  await expect(first.consumer.ended).resolves.toBeUndefined();
  const admin = await client.admin();
  expect(await admin.groupOffsets('own', [topic])).toEqual([{ topic, partition: 0, offset: 100n }]);
  await admin.close();
  const second = await read('own', topic, 95n);
  await until(() => second.values.length === 5, 'the last five');
  await second.consumer.close();
  expect(first.values).toEqual(Array.from({ length: 10 }, (_, index) => String(90 + index)));
  expect(second.values).toEqual(['95', '96', '97', '98', '99']);
});

test('nothing is fetched before the owner has said where to begin', async () => {
  const topic = await numbers('late-offsets', 10);
  const start = Promise.withResolvers<undefined>();
  const values: string[] = [];
  let asked = false;
  const consumer = await client.consumer({
    ...{ groupId: 'late', topics: [topic] },
    assigned: async ({ partitions }) => {
      asked = true;
      await start.promise;
      return partitions.map((one) => ({ ...one, offset: 7n }));
    },
    deliver: (batch) => {
      values.push(...batch.records.map(({ value }) => value ?? ''));
      return Promise.resolve();
    },
  });
  await until(() => asked, 'an assignment');
  // It is not for want of time: another group, which came later, has all of it by now.
  await write(topic, 10, 12);
  const other = await read('late-other', topic, 0n);
  await until(() => other.values.length === 12, 'all records in another group');
  await other.consumer.close();
  expect(values).toEqual([]);
  start.resolve(undefined);
  await until(() => values.length === 5, 'five records');
  await consumer.close();
  expect(values).toEqual(['7', '8', '9', '10', '11']);
});

test('a member that reads on and on leaves nothing at its assignment', async () => {
  const topic = await numbers('listeners', 10);
  for (let from = 10; from < 80; from += 10) await write(topic, from, from + 10);
  const assignments: Assignment[] = [];
  let next = 0n;
  const { consumer } = await read('listeners', topic, 0n, {
    deliver: ({ nextOffset }, assignment) => {
      assignments.push(assignment);
      next = nextOffset;
      return Promise.resolve();
    },
    maxPartitionBytes: 1,
  });
  await until(() => next === 80n, 'the last record');
  expect(assignments.length).toBeGreaterThan(3);
  const left = assignments.map(({ signal }) => getEventListeners(signal, 'abort').length);
  expect(Math.max(...left)).toBeLessThan(2);
  await consumer.close();
});

test('a batch that is not taken holds up what comes after it, and the member stays in its group', async () => {
  const topic = await numbers('held', 100_000);
  const batches: Batch[] = [];
  const taken = Promise.withResolvers<undefined>();
  let signal: AbortSignal | undefined;
  let assignments = 0;
  const { consumer } = await read('held', topic, 0n, {
    assigned: ({ partitions }) => {
      assignments += 1;
      return Promise.resolve(partitions.map((one) => ({ ...one, offset: 'earliest' as const })));
    },
    deliver: async (batch, assignment) => {
      ({ signal } = assignment);
      batches.push(batch);
      await taken.promise;
    },
    maxPartitionBytes: 10_000,
  });
  await until(() => batches.length > 0, 'a batch');
  // Longer than a session lasts without heartbeats.
  await new Promise((resolve) => setTimeout(resolve, 12_000));
  expect(batches).toHaveLength(1);
  taken.resolve(undefined);
  await until(() => batches.at(-1)?.nextOffset === 100_000n, 'the last record');
  await consumer.close();
  expect(assignments).toBe(1);
  const values = batches.flatMap(({ records }) => records.map(({ value }) => Number(value)));
  expect(values).toEqual(Array.from({ length: 100_000 }, (_, index) => index));
  // Each of the many has taken its hands off what outlives it.
  expect(batches.length).toBeGreaterThan(1);
  expect(signal && getEventListeners(signal, 'abort').length).toBeLessThan(2);
});

test('what is being delivered when the group changes is over, and is delivered to whoever has it then', async () => {
  const topic = await numbers('shared', 50, 2);
  const held: Assignment[] = [];
  const delivered = new Set<string>();
  const start = ({ partitions }: Assignment): ReturnType<ConsumerOptions['assigned']> =>
    Promise.resolve(partitions.map((one) => ({ ...one, offset: 0n })));
  let holding = true;
  const deliver: ConsumerOptions['deliver'] = async (batch, assignment) => {
    if (holding) {
      held.push(assignment);
      await new Promise(() => undefined);
    }
    for (const { partition, value } of batch.records) delivered.add(`${partition}:${value}`);
  };
  const first = await read('shared', topic, 0n, { assigned: start, deliver });
  await until(() => held.length === 2, 'both partitions');
  expect(held.every(({ signal }) => !signal.aborted)).toBe(true);
  holding = false;
  const second = await read('shared', topic, 0n, { assigned: start, deliver });
  await until(() => delivered.size === 100, 'both partitions again');
  expect(held.every(({ signal }) => signal.aborted)).toBe(true);
  await first.consumer.close();
  await second.consumer.close();
});

test('a paused partition is fetched no more until it is resumed', async () => {
  const topic = await numbers('paused', 10);
  const { consumer, values } = await read('paused', topic, 0n);
  await until(() => values.length === 10, 'ten records');
  consumer.pause({ topic, partition: 0 });
  await write(topic, 10, 20);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  expect(values).toHaveLength(10);
  consumer.resume({ topic, partition: 0 });
  await until(() => values.length === 20, 'twenty records');
  await consumer.close();
});

test('a member that would begin at records that are gone, or never were, ends', async () => {
  const topic = await numbers('gone', 50);
  await forget(topic, 20);
  for (const offset of [19n, 51n]) {
    const { consumer, values } = await read('gone', topic, offset);
    await expect(consumer.ended).rejects.toMatchObject({ code: 'KAFKA_LOG_LOST' });
    expect(values).toEqual([]);
    await consumer.close();
  }
  const { consumer, values } = await read('gone', topic, 20n);
  await until(() => values.length === 30, 'the rest');
  await consumer.close();
});

test('a member that the retention overtakes ends, and skips nothing', async () => {
  const topic = await numbers('overtaken', 50);
  const { consumer, values } = await read('overtaken', topic, 0n);
  await until(() => values.length === 50, 'the first fifty');
  consumer.pause({ topic, partition: 0 });
  await write(topic, 50, 100);
  await forget(topic, 80);
  consumer.resume({ topic, partition: 0 });
  await expect(consumer.ended).rejects.toMatchObject({ code: 'KAFKA_LOG_LOST' });
  expect(values).toHaveLength(50);
  await consumer.close();
});

test('so it does where nothing that anybody reads stands where the topic begins by then', async () => {
  const topic = await numbers('overtaken-again', 50);
  const skipped = Promise.withResolvers<undefined>();
  const values: string[] = [];
  const { consumer } = await read('overtaken-again', topic, 0n, {
    deliver: ({ records }) => {
      values.push(...records.map(({ value }) => value ?? ''));
      if (values.length > 50) skipped.resolve(undefined);
      return Promise.resolve();
    },
    // A batch a fetch: what was given up comes alone.
    maxPartitionBytes: 1,
  });
  await until(() => values.length === 50, 'the first fifty');
  consumer.pause({ topic, partition: 0 });
  await write(topic, 50, 60);
  await giveUp(topic, ['never']);
  await write(topic, 60, 61);
  await forget(topic, 60);
  consumer.resume({ topic, partition: 0 });
  await expect(Promise.race([consumer.ended, skipped.promise])).rejects.toMatchObject({
    code: 'KAFKA_LOG_LOST',
  });
  expect(values).toHaveLength(50);
  await consumer.close();
});

test('an owner that rejects a batch ends the member with its own error', async () => {
  const topic = await numbers('rejected', 5);
  const { consumer } = await read('rejected', topic, 0n, {
    deliver: () => Promise.reject(new Error('no room')),
  });
  await expect(consumer.ended).rejects.toMatchObject({
    message: expect.stringContaining('no room') as unknown,
  });
  await consumer.close();
});

test('a member survives a broker that is killed and comes again', async () => {
  const topic = await numbers('restarted', 50);
  const { consumer, values } = await read('restarted', topic, 0n);
  await until(() => values.length === 50, 'the first fifty');
  await kafka.kill();
  await kafka.start();
  await write(topic, 50, 100);
  // It goes on, or it ends and says so: its owner opens another one.
  let ended: unknown;
  consumer.ended.catch((error: unknown) => {
    ended = error;
  });
  await until(() => ended !== undefined || values.includes('99'), 'the rest, or its end');
  if (ended !== undefined) expect(ended).toMatchObject({ code: 'KAFKA_UNREACHABLE' });
  await consumer.close();
});
