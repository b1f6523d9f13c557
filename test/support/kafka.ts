// A Kafka for a test: one of its own, on a port and in a folder that it keeps, so that it can be killed and
// started again; or that of the whole run, where names of topics and groups must be a test's own.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { KafkaConnection } from '../../core/kafka/connection.ts';
import {
  startEmbeddedKafka,
  type EmbeddedKafka,
  type EmbeddedKafkaOptions,
} from '../../core/kafka/embedded.ts';
import { freePort } from '../../core/postgres/embedded.ts';
import { shared } from './share.ts';

/** One that may be another suite's too. */
export interface SharedKafka {
  readonly connection: KafkaConnection;
}

export interface TestKafka extends SharedKafka {
  /** kill -9 */
  kill(): Promise<void>;
  /** In order, as an administrator would. */
  stop(): Promise<void>;
  /** Again, with the same port and data. */
  start(): Promise<void>;
  /** Ends it and removes its data. */
  remove(): Promise<void>;
}

/** Starts one; `options` but for its folder and port. */
export async function testKafka(options: EmbeddedKafkaOptions = {}): Promise<TestKafka> {
  const directory = options.directory ?? (await mkdtemp(path.join(tmpdir(), 'banyan-test-kafka-')));
  const port = options.port ?? (await freePort());
  const start = (): Promise<EmbeddedKafka> =>
    startEmbeddedKafka({
      ...{ directory, port },
      // Half the processor's time until it answers.
      javaOptions: ['-XX:TieredStopAtLevel=1'],
      ...options,
    });
  let running: EmbeddedKafka | undefined = await start();
  return {
    connection: plainConnection(`127.0.0.1:${port}`),
    kill: async () => {
      await running?.kill();
      running = undefined;
    },
    stop: async () => {
      await running?.stop();
      running = undefined;
    },
    start: async () => {
      running ??= await start();
    },
    remove: async () => {
      await running?.kill();
      running = undefined;
      await rm(directory, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

/** That of the run. */
export async function sharedKafka(): Promise<SharedKafka> {
  return { connection: plainConnection(...(await shared('kafka')).split(',')) };
}

/** Without TLS or login. */
export function plainConnection(...brokers: readonly string[]): KafkaConnection {
  return { brokers, clientId: 'test', compression: 'none', tls: undefined, sasl: undefined };
}
