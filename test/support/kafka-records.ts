// All that a topic holds, read by a member of a group of its own.
import { randomUUID } from 'node:crypto';
import { isBanyanError } from '../../core/errors.ts';
import type { Fetched, KafkaClient, PartitionRange } from '../../core/kafka/client.ts';
import { waitFor } from '../../core/lifecycle.ts';
import { createLogger } from '../../core/log.ts';

export const silent = createLogger({}, 'silent');

async function rangesOf(
  client: KafkaClient,
  topic: string,
): Promise<readonly PartitionRange[] | undefined> {
  const admin = await client.admin();
  try {
    return await admin.ranges(topic);
  } catch (error) {
    if (!isBanyanError(error, 'KAFKA_UNREACHABLE')) throw error;
    return undefined;
  } finally {
    await admin.close();
  }
}

/** By partition, then offset. */
export async function readTopic(client: KafkaClient, topic: string): Promise<Fetched[]> {
  // A broker that has just made a topic may not know yet that it leads it.
  const ranges = await waitFor(() => rangesOf(client, topic), {
    ...{ timeoutMs: 30_000, what: `${topic} to have a leader` },
  });
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
