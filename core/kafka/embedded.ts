// A real Apache Kafka from its released jars, for the demo, the tests and a first try: one process that
// is broker and controller, on loopback, with a data directory of its own. It does not outlive us.
import { randomBytes } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { startChild, type Child } from '../child.ts';
import { BanyanError, messageOf } from '../errors.ts';
import { waitFor } from '../lifecycle.ts';
import { freePort } from '../free-port.ts';
import { classPath, requireJava } from './maven.ts';

const VERSION = '4.3.1';
const JARS = [`org.apache.kafka:kafka_2.13:${VERSION}`, 'org.slf4j:slf4j-simple:1.7.36'];
const HEAP = '-Xmx512m';
const START_MS = 90_000;

export interface EmbeddedKafkaOptions {
  /** A folder to keep between runs; a temporary one, removed at the end, when left out. */
  readonly directory?: string;
  /** A free one when left out. */
  readonly port?: number;
  /** Further settings of the broker; they win over ours. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Listeners beside the plain one, as Kafka names them: `SASL_SSL` → its port. */
  readonly listeners?: Readonly<Record<string, number>>;
  /** SCRAM users to know from the start, each `SCRAM-SHA-256=[name=…,password=…]`. */
  readonly users?: readonly string[];
  readonly javaOptions?: readonly string[];
}

export interface EmbeddedKafka {
  readonly port: number;
  /** `127.0.0.1:port`, without TLS or login. */
  readonly address: string;
  readonly exited: Promise<number>;
  /** Ends it in order; removes a temporary folder. Idempotent. */
  stop(): Promise<void>;
  /** kill -9; a folder that was named stays as it is. */
  kill(): Promise<void>;
}

/** Starts it and waits until it answers. Throws EMBEDDED_KAFKA. */
export async function startEmbeddedKafka(
  options: EmbeddedKafkaOptions = {},
): Promise<EmbeddedKafka> {
  await requireJava();
  const jars = await classPath(JARS);
  const temporary = options.directory === undefined;
  const home = options.directory ?? (await mkdtemp(path.join(tmpdir(), 'banyan-kafka-')));
  try {
    await mkdir(home, { recursive: true });
    const port = options.port ?? (await freePort());
    const properties = path.join(home, 'server.properties');
    await writeFile(properties, await propertiesOf(home, port, options));
    const program = { jars, home, properties, options };
    await format(program);
    const child = startJava(program, ['kafka.Kafka', properties], temporary ? home : undefined);
    const stop = async (): Promise<void> => {
      await child.stop(30_000);
      if (temporary) await rm(home, { recursive: true, force: true, maxRetries: 3 });
    };
    try {
      await answers(child, [port, ...Object.values(options.listeners ?? {})]);
    } catch (error) {
      await child.kill();
      throw error;
    }
    return {
      port,
      address: `127.0.0.1:${port}`,
      exited: child.exited,
      stop,
      kill: () => child.kill(),
    };
  } catch (error) {
    if (temporary) await rm(home, { recursive: true, force: true, maxRetries: 3 });
    if (error instanceof BanyanError) throw error;
    throw new BanyanError('EMBEDDED_KAFKA', `cannot start Kafka: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

interface Program {
  readonly jars: string;
  readonly home: string;
  readonly properties: string;
  readonly options: EmbeddedKafkaOptions;
}

function startJava(
  { jars, home, options }: Program,
  args: readonly string[],
  removeAfter?: string,
): Child {
  return startChild({
    command: 'java',
    args: [
      ...[HEAP, '-XX:+UseSerialGC', '-Djava.awt.headless=true'],
      ...['-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', ...(options.javaOptions ?? [])],
      ...['-cp', jars, ...args],
    ],
    endWith: 'TERM',
    cwd: home,
    removeAfter,
  });
}

/**
 * A KRaft broker begins with a formatted directory; one that is formatted is left as it is. The program
 * that does it takes as long as the broker, so without users its work is kept and copied.
 */
async function format(program: Program): Promise<void> {
  const data = path.join(program.home, 'data');
  if (await isFormatted(data)) return;
  await rm(data, { recursive: true, force: true });
  const { users = [] } = program.options;
  const kept = path.join(homedir(), '.cache', 'banyan', `kafka-${VERSION}-formatted`);
  if (users.length === 0 && (await isFormatted(kept))) {
    await rm(`${data}.new`, { recursive: true, force: true });
    await cp(kept, `${data}.new`, { recursive: true });
    await rename(`${data}.new`, data);
    return;
  }
  const tool = startJava(program, [
    ...['kafka.tools.StorageTool', 'format', '-t', clusterId()],
    ...['-c', program.properties, ...users.flatMap((user) => ['--add-scram', user])],
  ]);
  if ((await tool.exited) !== 0)
    throw new BanyanError(
      'EMBEDDED_KAFKA',
      `Kafka's storage cannot be formatted: ${tool.lastWords()}`,
    );
  if (users.length > 0) return;
  const copy = `${kept}.${process.pid}`;
  await cp(data, copy, { recursive: true });
  // Another process may have been quicker: its result is as good.
  await rename(copy, kept).catch(() => rm(copy, { recursive: true, force: true }));
}

async function isFormatted(folder: string): Promise<boolean> {
  return (await stat(path.join(folder, 'meta.properties')).catch(() => undefined)) !== undefined;
}

async function propertiesOf(
  home: string,
  port: number,
  { listeners = {}, settings = {} }: EmbeddedKafkaOptions,
): Promise<string> {
  const names = ['PLAINTEXT', ...Object.keys(listeners)];
  const addresses = Object.entries({ PLAINTEXT: port, ...listeners }).map(
    ([name, number]) => `${name}://127.0.0.1:${number}`,
  );
  // The controller's port is written into the quorum: a kept directory keeps it.
  const kept = /^controller\.quorum\.voters=1@127\.0\.0\.1:(\d+)$/m.exec(
    await readFile(path.join(home, 'server.properties'), 'utf8').catch(() => ''),
  );
  const controller = Number(kept?.[1] ?? (await freePort()));
  const all: Record<string, string> = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${controller}`,
    'controller.listener.names': 'CONTROLLER',
    listeners: [...addresses, `CONTROLLER://127.0.0.1:${controller}`].join(','),
    'advertised.listeners': addresses.join(','),
    'inter.broker.listener.name': 'PLAINTEXT',
    'listener.security.protocol.map': [
      ...names.map((name) => `${name}:${name}`),
      'CONTROLLER:PLAINTEXT',
    ].join(','),
    'log.dirs': path.join(home, 'data'),
    'auto.create.topics.enable': 'false',
    'offsets.topic.replication.factor': '1',
    'offsets.topic.num.partitions': '4',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'transaction.state.log.num.partitions': '4',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    'group.initial.rebalance.delay.ms': '0',
    'num.recovery.threads.per.data.dir': '2',
    ...settings,
  };
  return `${Object.entries(all)
    .map(([name, value]) => `${name}=${value.replaceAll('\\', '\\\\')}`)
    .join('\n')}\n`;
}

async function answers(child: Child, ports: readonly number[]): Promise<void> {
  for (const port of ports)
    await waitFor(
      async () => {
        if (child.exitCode !== undefined)
          throw new BanyanError('EMBEDDED_KAFKA', `Kafka ended at its start: ${child.lastWords()}`);
        return accepts(port);
      },
      { timeoutMs: START_MS, everyMs: 100, what: 'Kafka to answer' },
    );
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => {
      resolve(false);
    });
  });
}

/** As Kafka makes one itself: its tools would take one that begins with a dash for an option. */
export function clusterId(random: (bytes: number) => Buffer = randomBytes): string {
  for (;;) {
    const id = random(16).toString('base64url');
    if (!id.startsWith('-')) return id;
  }
}
