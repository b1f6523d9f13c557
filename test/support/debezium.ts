// Debezium's own engine with its PostgreSQL connector, in a Java process (test/debezium/Engine.java):
// what it makes of a database's changes, to hold ours against.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { startChild, type Child } from '../../core/child.ts';
import { classPath } from '../../core/kafka/maven.ts';
import { waitFor } from '../../core/lifecycle.ts';
import { ROOT } from './command.ts';
import { javaClasses } from './java-classes.ts';

const VERSION = '3.6.1.Final';
const JARS = [
  `io.debezium:debezium-api:${VERSION}`,
  `io.debezium:debezium-embedded:${VERSION}`,
  `io.debezium:debezium-connector-postgres:${VERSION}`,
  'org.slf4j:slf4j-simple:1.7.36',
];
const START_MS = 120_000;

export interface DebeziumOptions {
  /** URL of the database, with a login that may replicate. */
  readonly url: string;
  /** `topic.prefix` */
  readonly prefix: string;
  /** Further settings of the connector; they win over ours. */
  readonly properties?: Readonly<Record<string, string>>;
  /** Whether keys and values carry their schemas. */
  readonly schemas?: boolean;
  /** How headers are written: as a worker does by default, or as JSON. */
  readonly headers?: 'simple' | 'json';
  /** Whether a NULL stays one in a column with a default; a converter's own default is no. */
  readonly nulls?: 'keep';
  /** Brokers to produce to; without any, records come as events here. */
  readonly kafka?: string;
  /** What it does is measured: Java may take its time to make it fast. */
  readonly measured?: boolean;
}

/** A record as Connect's JsonConverter writes it. */
export interface DebeziumRecord {
  readonly topic: string;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: Readonly<Record<string, string | null>>;
}

export interface Debezium {
  /** Leads the process group that it is in. */
  readonly pid: number;
  readonly records: readonly DebeziumRecord[];
  /** How many it has produced to Kafka. */
  readonly produced: number;
  /** Waits for a record that the predicate is true of, among all there are. */
  until(predicate: (record: DebeziumRecord) => boolean, timeoutMs?: number): Promise<void>;
  stop(): Promise<void>;
}

/** Starts it and waits until it streams: what commits from now on comes as a record. */
export async function startDebezium(options: DebeziumOptions): Promise<Debezium> {
  const folder = await mkdtemp(path.join(tmpdir(), 'banyan-debezium-'));
  const file = path.join(folder, 'engine.properties');
  await writeFile(file, properties(options, folder));
  const jars = await classPath(JARS);
  const all = [await compiled(jars), jars].join(path.delimiter);
  const classes = options.measured ? undefined : await javaClasses('debezium', all);
  const child = startChild({
    command: 'java',
    args: [
      ...['-Xmx512m', '-XX:+UseSerialGC', '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn'],
      ...(classes ? ['-XX:TieredStopAtLevel=1', ...classes.options] : []),
      ...['-cp', all, 'Engine', file],
    ],
    endWith: 'TERM',
    cwd: folder,
    removeAfter: folder,
  });
  const stop = async (): Promise<void> => {
    await child.stop();
    await classes?.keep(child.exitCode);
  };
  return listen(child, stop);
}

async function listen(child: Child, stop: () => Promise<void>): Promise<Debezium> {
  const records: DebeziumRecord[] = [];
  let polling = false;
  let produced = 0;
  let failure: string | undefined;
  child.onLine((line) => {
    const said = JSON.parse(line) as
      | DebeziumRecord
      | { readonly event: string; readonly message?: string; readonly records?: number };
    if ('topic' in said) records.push(said);
    else if (said.event === 'polling') polling = true;
    else if (said.event === 'produced') produced = said.records ?? 0;
    else if (said.event === 'failed') failure = said.message ?? 'without a word';
  });
  const alive = (): void => {
    if (failure !== undefined || child.exitCode !== undefined)
      throw new Error(`Debezium ended: ${failure ?? child.lastWords()}`);
  };
  const until = async (probe: () => boolean, what: string, timeoutMs: number): Promise<void> => {
    await waitFor(
      () => {
        const done = probe();
        if (!done) alive();
        return done;
      },
      { timeoutMs, what },
    );
  };
  try {
    await until(() => polling, 'Debezium to stream', START_MS);
  } catch (error) {
    await child.stop();
    throw error;
  }
  return {
    pid: child.pid,
    records,
    get produced() {
      return produced;
    },
    until: (predicate, timeoutMs = 60_000) =>
      until(() => records.some(predicate), 'a record of Debezium', timeoutMs),
    stop,
  };
}

function properties(options: DebeziumOptions, folder: string): string {
  const url = new URL(options.url);
  const all: Record<string, string> = {
    name: 'engine',
    'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
    'offset.storage': 'org.apache.kafka.connect.storage.FileOffsetBackingStore',
    'offset.storage.file.filename': path.join(folder, 'offsets'),
    'offset.flush.interval.ms': '1000',
    'topic.prefix': options.prefix,
    'database.hostname': url.hostname,
    'database.port': url.port,
    'database.user': decodeURIComponent(url.username),
    'database.password': decodeURIComponent(url.password),
    'database.dbname': decodeURIComponent(url.pathname.slice(1)),
    'plugin.name': 'pgoutput',
    'slot.name': 'debezium',
    'publication.name': 'debezium',
    'publication.autocreate.mode': 'all_tables',
    'snapshot.mode': 'no_data',
    'poll.interval.ms': '20',
    ...options.properties,
    'harness.schemas': String(options.schemas ?? false),
    'harness.headers': options.headers ?? 'simple',
    ...(options.nulls !== undefined && { 'harness.nulls': options.nulls }),
    ...(options.kafka !== undefined && { 'harness.kafka': options.kafka }),
  };
  return Object.entries(all)
    .map(([name, value]) => `${name}=${value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n`)
    .join('');
}

/** The class in a jar, as Java keeps classes of no folder; made once a version of its source. */
async function compiled(jars: string): Promise<string> {
  const source = path.join(ROOT, 'test/debezium/Engine.java');
  const hash = createHash('sha256')
    .update(await readFile(source))
    .update(VERSION)
    .digest('hex');
  const jar = path.join(homedir(), '.cache', 'banyan', 'debezium', `${hash.slice(0, 16)}.jar`);
  if (await stat(jar).catch(() => undefined)) return jar;
  const work = `${jar}.${process.pid}`;
  const classes = path.join(work, 'classes');
  await mkdir(classes, { recursive: true });
  const run = promisify(execFile);
  await run('javac', ['-d', classes, '-cp', jars, source]);
  await run('jar', ['--create', '--file', path.join(work, 'engine.jar'), '-C', classes, '.']);
  // Another process may have been quicker: its result is as good.
  if (!(await stat(jar).catch(() => undefined))) await rename(path.join(work, 'engine.jar'), jar);
  await rm(work, { recursive: true, force: true });
  return jar;
}
