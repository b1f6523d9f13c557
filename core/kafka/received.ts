// What kafkajs hands over as messages, as records: batches that are still closed (fetched-batch.ts), or its
// own messages, where the brokers or the records are of before batches.
import type { KafkaMessage } from 'kafkajs';
import type { Fetched, TopicPartition } from './client.ts';
import { FetchedBatch } from './fetched-batch.ts';

/** The records from an offset on. */
export async function received(
  at: TopicPartition,
  messages: readonly (KafkaMessage | FetchedBatch)[],
  from: bigint,
): Promise<Fetched[]> {
  const records: Fetched[] = [];
  for (const one of messages)
    if (one instanceof FetchedBatch)
      for (const record of await one.records(at, from)) records.push(record);
    else records.push(fetched(at, one));
  return records;
}

function fetched(at: TopicPartition, message: KafkaMessage): Fetched {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(message.headers ?? {})) {
    const last = Array.isArray(value) ? value.at(-1) : value;
    if (last !== undefined) headers[name] = last.toString();
  }
  return {
    ...at,
    offset: BigInt(message.offset),
    key: message.key?.toString() ?? null,
    value: message.value?.toString() ?? null,
    headers,
    timestampMs: Number(message.timestamp),
  };
}
