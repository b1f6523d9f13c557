// A Kafka for a test: one of its own, on a port and in a folder that it keeps, so that it can be killed and
// started again; or that of the whole run, where names of topics and groups must be a test's own.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { kafkaClient } from '../../core/kafka/connect.ts';
import type { KafkaConnection } from '../../core/kafka/connection.ts';
import {
  startEmbeddedKafka,
  type EmbeddedKafka,
  type EmbeddedKafkaOptions,
} from '../../core/kafka/embedded.ts';
import { ensureTopics } from '../../core/kafka/topics.ts';
import { freePort } from '../../core/free-port.ts';
import { ROOT } from './command.ts';
import { javaClasses } from './java-classes.ts';
import { readTopic, silent } from './kafka-records.ts';
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

/** Half the processor's time until it answers. */
const QUICK = '-XX:TieredStopAtLevel=1';

/** Options for the Java of a broker that begins with the classes that `keepClasses` has had written. */
async function quickJava(): Promise<string[]> {
  return [QUICK, ...(await shared('kafka-classes')).split('\n').filter((option) => option !== '')];
}

/** The same for the Kafka that a command starts, as its environment. */
export async function quickJavaVariables(): Promise<Record<string, string>> {
  return { JDK_JAVA_OPTIONS: (await quickJava()).map((option) => `"${option}"`).join(' ') };
}

/** Has a broker write its classes where none has yet; gives what makes another one begin with them. */
export async function keepClasses(): Promise<string> {
  const source = await readFile(path.join(ROOT, 'core/kafka/embedded.ts'), 'utf8');
  const classes = await javaClasses('kafka', source);
  if (!classes.known) {
    const broker = await startEmbeddedKafka({ javaOptions: [QUICK, ...classes.options] });
    try {
      await useOnce(plainConnection(broker.address));
    } finally {
      await broker.stop();
    }
    await classes.keep(await broker.exited);
  }
  const { known, options } = await javaClasses('kafka', source);
  return known ? options.join('\n') : '';
}

/** So that it loads what it needs to write and to be read. */
async function useOnce(connection: KafkaConnection): Promise<void> {
  const client = kafkaClient(connection, silent);
  const admin = await client.admin();
  await ensureTopics(admin, [{ topic: 'once', partitions: 1, config: {} }]);
  await admin.close();
  const producer = await client.producer();
  await producer.send([{ topic: 'once', key: 'key', value: 'value', headers: {} }]);
  await producer.close();
  await readTopic(client, 'once');
}

/** Starts one; `options` but for its folder and port. */
export async function testKafka(options: EmbeddedKafkaOptions = {}): Promise<TestKafka> {
  const directory = options.directory ?? (await mkdtemp(path.join(tmpdir(), 'banyan-test-kafka-')));
  const port = options.port ?? (await freePort());
  const javaOptions = await quickJava();
  const start = (): Promise<EmbeddedKafka> =>
    startEmbeddedKafka({
      ...{ directory, port, javaOptions },
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
