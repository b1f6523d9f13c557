// Opens what client.ts speaks of, by way of kafkajs, which is loaded only where there is a Kafka.
import type { Logger } from '../log.ts';
import type { KafkaClient } from './client.ts';
import type { KafkaConnection } from './connection.ts';

/** Connects nothing yet. */
export function kafkaClient(connection: KafkaConnection, log: Logger): KafkaClient {
  return {
    producer: async () => (await import('./producer.ts')).openProducer(connection, log),
    consumer: async (options) =>
      (await import('./consumer.ts')).openConsumer(connection, log, options),
    admin: async () => (await import('./admin.ts')).openAdmin(connection, log),
  };
}
