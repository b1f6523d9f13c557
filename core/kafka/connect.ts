// Opens what client.ts speaks of, by way of kafkajs, which is loaded only where there is a Kafka.
import type { Logger } from '../log.ts';
import { BatchLimits } from './batch-limits.ts';
import type { Admin, KafkaClient } from './client.ts';
import type { KafkaConnection } from './connection.ts';

/** Connects nothing yet. */
export function kafkaClient(connection: KafkaConnection, log: Logger): KafkaClient {
  const open = async (): Promise<Admin> => (await import('./admin.ts')).openAdmin(connection, log);
  // What an administrator has looked up no producer asks again.
  const limits = new BatchLimits(open);
  return {
    producer: async () => (await import('./producer.ts')).openProducer(connection, log, limits),
    consumer: async (options) =>
      (await import('./consumer.ts')).openConsumer(connection, log, options),
    admin: async () => {
      const admin = await open();
      return {
        ...admin,
        topics: async (names) => {
          const found = await admin.topics(names);
          limits.note(found);
          return found;
        },
      };
    },
  };
}
