// What waits between Kafka and a flow is bounded, however much the topic holds and however slow the flow
// is; and nothing is left out or comes twice because of it.
import { beforeAll, expect, test } from '@jest/globals';
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
    while (count() < RECORDS && (await queue.wait(AbortSignal.timeout(20_000))))
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
}, 60_000);
