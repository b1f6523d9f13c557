// Relays as real processes between a pair's monolith and a Kafka, a load whose every change bears a
// number, and what a topic must look like whatever happened to them.
import { expect } from '@jest/globals';
import type { Fetched, KafkaClient } from '../../core/kafka/client.ts';
import { kafkaClient } from '../../core/kafka/connect.ts';
import { waitFor } from '../../core/lifecycle.ts';
import { connect } from '../../core/postgres/connect.ts';
import type { MigrationInput } from '../../control/definition.ts';
import { defineMigration } from '../../control/define.ts';
import { RelayReports, type RelayLine } from '../../control/relay-reports.ts';
import { banyan, startBanyan, writeConfig, type Running } from './command.ts';
import type { SharedKafka } from './kafka.ts';
import { readTopic, silent } from './kafka-records.ts';
import { SESSION, type Pair } from './pair.ts';

type Layout = 'changes' | 'table';

export interface RelayPair extends Pair {
  readonly client: KafkaClient;
  /** Of the monolith's topics. */
  readonly prefix: string;
  /** Starts `banyan relay`. */
  relay(...flags: string[]): Running;
  /** What `banyan` with these arguments says. */
  says(...args: string[]): Promise<string>;
  /** What the relay of the monolith last reported. */
  line(): Promise<RelayLine | undefined>;
  /** Ends the relays there still are. */
  end(): Promise<void>;
}

export interface RelayPairOptions {
  readonly layout?: Layout;
  readonly partitions?: number;
  readonly maxMessageBytes?: number;
  readonly sync?: MigrationInput['sync'];
  /** Of the monolith. */
  readonly outbox?: { readonly table: string; readonly additional?: Additional[] }[];
}

type Additional = { column: string; placement: 'header' | 'envelope' | 'partition'; alias: string };

/** The pair, its change log in Kafka; prefixes of topics are never used again. */
export function overKafka(
  pair: Pair,
  kafka: SharedKafka,
  options: RelayPairOptions = {},
): RelayPair {
  const { layout = 'changes', partitions = 1, maxMessageBytes } = options;
  const { monolith, services } = pair.connections;
  const definition = {
    ...pair.migration,
    control: pair.controlUrl,
    sync: options.sync ?? pair.migration.sync,
    changeLog: {
      kafka: {
        brokers: [...kafka.connection.brokers],
        prefix: `t${pair.tag}`,
        layout,
        topics: { partitions, ...(maxMessageBytes !== undefined && { maxMessageBytes }) },
        ...(options.outbox && { outbox: { monolith: options.outbox } }),
      },
    },
  };
  const migration = defineMigration(definition);
  const config = writeConfig({
    ...definition,
    monolith,
    services: { catalog: services['catalog'] },
  });
  const relays: Running[] = [];
  const connections = { ...pair.connections, kafka: kafka.connection };
  return {
    ...pair,
    migration,
    connections,
    coordinator: (more = {}) => pair.coordinator({ migration, connections, ...more }),
    client: kafkaClient(kafka.connection, silent),
    prefix: `t${pair.tag}.monolith`,
    relay: (...flags) => {
      const running = startBanyan(['--config', config.file, '--json', 'relay', ...flags]);
      relays.push(running);
      return running;
    },
    says: async (...args) => (await banyan(['--config', config.file, ...args])).stdout,
    line: async () =>
      (await new RelayReports(pair.db).lines()).find(({ source }) => source === 'monolith'),
    end: async () => {
      for (const { child } of relays) {
        child.kill('SIGCONT');
        child.kill('SIGKILL');
      }
      await Promise.all(relays.map(({ exited }) => exited));
      config.remove();
    },
  };
}

/** The process whose relay holds the slot, as it says itself. */
export function holderOf(line: RelayLine | undefined): number {
  return Number(line?.holder.split(':').at(-2) ?? 0);
}

export interface Counting {
  /** The last number that has been committed. */
  readonly last: () => number;
  stop(): Promise<number>;
}

/** Counts up a product's stock, one transaction a step, now and then several steps; each number once. */
export async function startCounting(pair: Pair, pauseMs = 1): Promise<Counting> {
  const session = await connect(pair.monolithAppUrl, SESSION);
  await session.query(
    `INSERT INTO prd (prd_id, no, nm, prc, stk) VALUES (1, 'C', 'counter', 1, 0) ON CONFLICT DO NOTHING`,
  );
  let last = Number(
    (await session.query<{ stk: number }>('SELECT stk FROM prd WHERE prd_id = 1')).rows[0]?.stk,
  );
  const over = new AbortController();
  const counting = (async () => {
    const step = 'UPDATE prd SET stk = stk + 1 WHERE prd_id = 1';
    for (let turn = 0; !over.signal.aborted; turn++) {
      const steps = turn % 10 === 0 ? 5 : 1;
      await session.query(['BEGIN', ...Array<string>(steps).fill(step), 'COMMIT'].join('; '));
      last += steps;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  })();
  return {
    last: () => last,
    stop: async () => {
      over.abort();
      await counting;
      await session.end();
      return last;
    },
  };
}

interface Place {
  readonly commit: bigint;
  readonly seq: number;
  readonly part: number;
}

function placeOf({ headers }: Fetched): Place {
  const [, high = '', low = '', seq] = (headers['banyan.position'] ?? '').split('/');
  return {
    commit: (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`),
    seq: Number(seq),
    part: Number(headers['banyan.part'] ?? 0),
  };
}

function isAfter(one: Place, other: Place | undefined): boolean {
  if (!other) return true;
  if (one.commit !== other.commit) return one.commit > other.commit;
  return one.seq === other.seq ? one.part > other.part : one.seq > other.seq;
}

interface Envelope {
  readonly status?: string;
  readonly op?: string;
  readonly after?: { readonly prd_id: number; readonly stk: number } | null;
}

/** A topic's records of data, those that are there again left out by their positions. */
export function firstOnes(records: readonly Fetched[]): { fresh: Fetched[]; again: number } {
  const seen = new Map<number, Place>();
  const fresh: Fetched[] = [];
  let again = 0;
  for (const record of records) {
    if (record.headers['banyan.idle'] !== undefined) continue;
    if (record.value !== null && (JSON.parse(record.value) as Envelope).status !== undefined)
      continue;
    const place = placeOf(record);
    if (isAfter(place, seen.get(record.partition))) {
      seen.set(record.partition, place);
      fresh.push(record);
    } else again += 1;
  }
  return { fresh, again };
}

/** The numbers of the counter, in the order in which they come for the first time. */
export function countedIn(records: readonly Fetched[]): number[] {
  return firstOnes(records).fresh.flatMap(({ value }) => {
    const { after } = JSON.parse(value ?? 'null') as Envelope;
    return after?.prd_id === 1 && after.stk > 0 ? [after.stk] : [];
  });
}

/** In layout `changes`: within a transaction no number is missing between those that come for the first time. */
export function holesIn(records: readonly Fetched[]): string[] {
  const holes: string[] = [];
  let before: Place | undefined;
  for (const record of firstOnes(records).fresh) {
    const place = placeOf(record);
    const expected = before?.commit === place.commit ? before.seq + 1 : 1;
    if (place.seq !== expected)
      holes.push(`${record.headers['banyan.position'] ?? ''}: not ${expected}`);
    before = place;
  }
  return holes;
}

/** Waits until the topic holds the counter's number; gives all of it. */
export async function readUpTo(pair: RelayPair, topic: string, number: number): Promise<Fetched[]> {
  return waitFor(
    async () => {
      // A broker that has just been started may not be able yet.
      const records = await readTopic(pair.client, topic).catch(() => []);
      return countedIn(records).at(-1) === number && records;
    },
    { timeoutMs: 60_000, everyMs: 200, what: `number ${number} to be in ${topic}` },
  );
}

/** Each number once, in order, no hole; gives how many records came again. */
export async function expectGapless(pair: RelayPair, topic: string, last: number): Promise<number> {
  const records = await readUpTo(pair, topic, last);
  expect(countedIn(records)).toEqual(Array.from({ length: last }, (_, index) => index + 1));
  return firstOnes(records).again;
}
