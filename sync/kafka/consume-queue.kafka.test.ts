// What waits between Kafka and a flow is bounded, however much the topic holds and however slow the flow
// is; and nothing is left out or comes twice because of it.
import { beforeAll, expect, test } from '@jest/globals';
import kafkajs from 'kafkajs';
import type { Batch, KafkaClient } from '../../core/kafka/client.ts';
import { kafkaClient } from '../../core/kafka/connect.ts';
import { ensureTopics } from '../../core/kafka/topics.ts';
import { waitFor } from '../../core/lifecycle.ts';
import { silent } from '../../test/support/kafka-records.ts';
import { sharedKafka, type SharedKafka } from '../../test/support/kafka.ts';
import { RecordQueue, sizeOf } from './consume-queue.ts';

const PARTITIONS = 3;
const RECORDS = 6_000;
const VALUE = 'x'.repeat(4_000);
const QUEUE_BYTES = 3_000_000;
/** Of one partition that comes on top: what one fetch brings. */
const BATCH_BYTES = 1_300_000;

let kafka: SharedKafka;
let client: KafkaClient;

beforeAll(async () => {
  kafka = await sharedKafka();
  client = kafkaClient(kafka.connection, silent);
}, 120_000);

/** Writes as a connector with exactly-once support does: each transaction ends with a marker. */
async function inTransactions(
  topic: string,
  transactions: readonly { readonly records: number; readonly commits: boolean }[],
): Promise<void> {
  const producer = new kafkajs.Kafka({
    brokers: [...kafka.connection.brokers],
    logLevel: kafkajs.logLevel.NOTHING,
  }).producer({ transactionalId: `of-${topic}`, idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  for (const { records, commits } of transactions) {
    const transaction = await producer.transaction();
    const messages = Array.from({ length: records }, (_, index) => ({ value: String(index) }));
    await transaction.send({ topic, messages });
    await (commits ? transaction.commit() : transaction.abort());
  }
  await producer.disconnect();
}

test('a partition that ends with markers is read to its end, however it was come by', async () => {
  const topic = 'marked';
  const admin = await client.admin();
  await ensureTopics(admin, [{ topic, partitions: 1, config: {} }]);
  await inTransactions(topic, [
    { records: 3, commits: true },
    { records: 2, commits: false },
  ]);
  // Three records and a marker, two that do not count and a marker, which the brokers write a moment later.
  const end = 7n;
  await waitFor(async () => (await admin.ranges(topic))[0]?.high === end, {
    ...{ timeoutMs: 30_000, what: 'both markers to be written' },
  });
  await admin.close();
  for (const [index, from] of [0n, 3n, 6n].entries()) {
    const queue = new RecordQueue({
      ...{ kafka: client, groupId: `marked-${index}`, dense: false, queueBytes: QUEUE_BYTES },
      from: new Map([[`${topic}/0`, from]]),
    });
    await queue.open();
    try {
      const values: (string | null)[] = [];
      const isRead = (): boolean => queue.behind(`${topic}/0`) === end;
      const signal = AbortSignal.timeout(30_000);
      while (!isRead() && (await queue.wait(signal, undefined, isRead)))
        values.push(...queue.take(`${topic}/0`, 1_000).map(({ value }) => value));
      expect(queue.behind(`${topic}/0`)).toBe(end);
      expect(values).toEqual(['0', '1', '2'].slice(Number(from)));
    } finally {
      await queue.close();
    }
  }
});

test('a flow that takes nothing is given no more than the bound, and everything once it takes', async () => {
  const topic = 'bounded';
  const admin = await client.admin();
  await ensureTopics(admin, [{ topic, partitions: PARTITIONS, config: {} }]);
  await admin.close();
  const producer = await client.producer();
  await producer.send(
    Array.from({ length: RECORDS }, (_, index) => ({
      ...{ topic, partition: index % PARTITIONS, key: null, value: `${index}:${VALUE}` },
      headers: {},
    })),
  );
  await producer.close();

  let waiting = 0;
  let most = 0;
  const counted: Pick<KafkaClient, 'consumer'> = {
    consumer: (options) =>
      client.consumer({
        ...options,
        deliver: (batch: Batch, assignment) => {
          for (const record of batch.records) waiting += sizeOf(record);
          most = Math.max(most, waiting);
          return options.deliver(batch, assignment);
        },
      }),
  };
  const names = Array.from({ length: PARTITIONS }, (_, partition) => `${topic}/${partition}`);
  const queue = new RecordQueue({
    kafka: { ...client, ...counted },
    groupId: 'bounded',
    from: new Map(names.map((name) => [name, 0n])),
    ...{ dense: true, queueBytes: QUEUE_BYTES },
  });
  await queue.open();
  try {
    // As full as it gets: every partition has more than its share and is paused.
    await waitFor(() => waiting > QUEUE_BYTES, { timeoutMs: 30_000, what: 'the queue to fill' });
    const seen = new Map<string, number[]>(names.map((name) => [name, []]));
    const count = (): number => [...seen.values()].reduce((sum, one) => sum + one.length, 0);
    while (count() < RECORDS && (await queue.wait(AbortSignal.timeout(30_000))))
      for (const name of names)
        for (const record of queue.take(name, 200_000)) {
          waiting -= sizeOf(record);
          seen.get(name)?.push(Number(record.value?.split(':')[0]));
        }
    for (const [partition, name] of names.entries())
      expect(seen.get(name)).toEqual(
        Array.from({ length: RECORDS / PARTITIONS }, (_, n) => n * PARTITIONS + partition),
      );
    expect(most).toBeLessThan(QUEUE_BYTES + PARTITIONS * BATCH_BYTES);
    expect(RECORDS * VALUE.length).toBeGreaterThan(3 * (QUEUE_BYTES + PARTITIONS * BATCH_BYTES));
  } finally {
    await queue.close();
  }
});
