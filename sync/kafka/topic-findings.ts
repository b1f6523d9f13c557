// Looks at the brokers, at every topic that the relays of a definition will write, and at how far those are
// read. Changes nothing.
import { isBanyanError } from '../../core/errors.ts';
import { kafkaClient } from '../../core/kafka/connect.ts';
import type { KafkaConnection } from '../../core/kafka/connection.ts';
import { createLogger } from '../../core/log.ts';
import type { Migration } from '../../control/definition.ts';
import { sourcesOf, topicsOf } from '../../control/kafka-topics.ts';
import type { Finding } from '../domain/finding.ts';
import { checkReadings, checkTopics } from '../domain/kafka-findings.ts';
import { readingsOf } from './slow-readers.ts';

/** None where the change log is not Kafka. */
export async function checkKafka(
  migration: Migration,
  connection: KafkaConnection | undefined,
): Promise<Finding[]> {
  if (migration.changeLog === 'direct' || !connection) return [];
  const { kafka: settings } = migration.changeLog;
  const wanted = sourcesOf(migration).flatMap((source) => topicsOf(migration, settings, source));
  try {
    const client = kafkaClient(connection, createLogger({ part: 'preflight' }, 'silent'));
    const admin = await client.admin();
    try {
      const topics = await admin.topics(wanted.map(({ topic }) => topic));
      const readings = await readingsOf(admin, migration, settings, new Set(topics.keys()));
      return [
        ...checkTopics(wanted, { brokers: admin.brokers, topics }),
        ...checkReadings(readings),
      ];
    } finally {
      await admin.close();
    }
  } catch (error) {
    if (!isBanyanError(error)) throw error;
    const { message, hint = '' } = error;
    return [{ severity: 'error', where: 'kafka', what: message, hint }];
  }
}
