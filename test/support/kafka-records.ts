// All that a topic holds, read by a member of a group of its own.
import { randomUUID } from 'node:crypto';
import type { Fetched, KafkaClient } from '../../core/kafka/client.ts';
import { createLogger } from '../../core/log.ts';

export const silent = createLogger({}, 'silent');

/** By partition, then offset. */
export async function readTopic(client: KafkaClient, topic: string): Promise<Fetched[]> {
  const admin = await client.admin();
  const ranges = await admin.ranges(topic);
  await admin.close();
  const missing = new Map(
    ranges.filter(({ low, high }) => high > low).map(({ partition, high }) => [partition, high]),
  );
  if (missing.size === 0) return [];
  const records: Fetched[] = [];
  const done = Promise.withResolvers<undefined>();
  const consumer = await client.consumer({
    groupId: `read-${randomUUID()}`,
    topics: [topic],
    assigned: ({ partitions }) =>
      Promise.resolve(partitions.map((one) => ({ ...one, offset: 'earliest' as const }))),
    deliver: (batch) => {
      records.push(...batch.records);
      if (batch.nextOffset >= (missing.get(batch.partition) ?? 0n)) missing.delete(batch.partition);
      if (missing.size === 0) done.resolve(undefined);
      return Promise.resolve();
    },
  });
  await Promise.race([done.promise, consumer.ended]);
  await consumer.close();
  return records.sort((a, b) => a.partition - b.partition || Number(a.offset - b.offset));
}
