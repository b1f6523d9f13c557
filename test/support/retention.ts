// What retention, or an administrator, does to a topic, at once.
import kafkajs from 'kafkajs';
import type { KafkaClient } from '../../core/kafka/client.ts';
import { kafkaClient } from '../../core/kafka/connect.ts';
import { waitFor } from '../../core/lifecycle.ts';
import { parseLsn } from '../../core/postgres/lsn.ts';
import { markOf } from '../../sync/domain/debezium/position.ts';
import type { SharedKafka } from './kafka.ts';
import { readTopic, silent } from './kafka-records.ts';
import type { Pair } from './pair.ts';
import { settingsOf } from './relayed.ts';

/** Of the record that comes next; 0 where there is no topic. */
export async function endOffsetOf(client: KafkaClient, topic: string): Promise<bigint> {
  const admin = await client.admin();
  try {
    const [range] = await admin.ranges(topic);
    return range?.high ?? 0n;
  } finally {
    await admin.close();
  }
}

/** Deletes what lies before an offset. */
export async function forget(
  { connection }: SharedKafka,
  topic: string,
  before: bigint,
): Promise<void> {
  const admin = await adminOf(connection);
  // The library finds the partition's leader only among topics that it has asked about.
  await admin.fetchTopicMetadata({ topics: [topic] });
  await admin.deleteTopicRecords({
    topic,
    partitions: [{ partition: 0, offset: String(before) }],
  });
  await admin.disconnect();
}

/** Gives a topic more partitions. */
export async function widen(
  { connection }: SharedKafka,
  topic: string,
  count: number,
): Promise<void> {
  const admin = await adminOf(connection);
  await admin.createPartitions({ topicPartitions: [{ topic, count }] });
  await admin.disconnect();
}

async function adminOf({ brokers }: SharedKafka['connection']): Promise<kafkajs.Admin> {
  const admin = new kafkajs.Kafka({
    brokers: [...brokers],
    logLevel: kafkajs.logLevel.NOTHING,
  }).admin();
  await admin.connect();
  return admin;
}

export interface ChangesTopic {
  readonly name: string;
  end(): Promise<bigint>;
  /** Does it at the source, and waits for the relay to have written it and to say so. */
  written(statement: string): Promise<void>;
  forget(before: bigint): Promise<void>;
}

/** That of a pair's monolith in layout `changes`. */
export function changesTopic(kafka: SharedKafka, pair: Pair): ChangesTopic {
  const client = kafkaClient(kafka.connection, silent);
  const name = `${settingsOf(pair).prefix}.monolith.changes`;
  return {
    name,
    end: () => endOffsetOf(client, name),
    written: async (statement) => {
      await pair.monolith.query(statement);
      const { rows } = await pair.monolith.query<{ at: string }>(
        'SELECT pg_current_wal_lsn() AS at',
      );
      const at = parseLsn(rows[0]?.at ?? '');
      await waitFor(
        async () => {
          if ((await endOffsetOf(client, name).catch(() => 0n)) === 0n) return false;
          const records = await readTopic(client, name);
          return records.some(({ headers }) => (markOf(headers)?.completeTo ?? 0n) >= at);
        },
        { timeoutMs: 30_000, what: 'the relay to write how far it is' },
      );
    },
    forget: (before) => forget(kafka, name, before),
  };
}
