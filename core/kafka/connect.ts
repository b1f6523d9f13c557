// Opens what client.ts speaks of, by way of kafkajs.
import type { Logger } from '../log.ts';
import { openAdmin } from './admin.ts';
import type { KafkaClient } from './client.ts';
import type { KafkaConnection } from './connection.ts';
import { openConsumer } from './consumer.ts';
import { openProducer } from './producer.ts';

/** Connects nothing yet. */
export function kafkaClient(connection: KafkaConnection, log: Logger): KafkaClient {
  return {
    producer: () => openProducer(connection, log),
    consumer: (options) => openConsumer(connection, log, options),
    admin: () => openAdmin(connection, log),
  };
}
