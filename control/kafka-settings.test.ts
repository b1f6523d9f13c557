import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { resolveConnections } from './connections.ts';
import { defineMigration, env } from './define.ts';
import type { Migration, MigrationInput } from './definition.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'banyan-kafka-settings-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const KAFKA = { brokers: ['kafka-1:9092'], prefix: 'shop' };

const database = {
  capture: 'postgres://h/d',
  applier: 'postgres://h/d',
  coordinator: 'postgres://h/d',
};

function define(kafka: unknown, tables: readonly unknown[] = [], more: object = {}): Migration {
  return defineMigration({
    monolith: { upstream: 'http://m', database },
    services: { catalog: { upstream: 'http://s', database } },
    capabilities: { catalog: { service: 'catalog', routes: ['/api'], tables, ...more } },
    ...(kafka !== undefined && { changeLog: kafka }),
  } as unknown as MigrationInput);
}

function endpoint(url: string): unknown {
  const tokenEndpoint = { url, clientId: 'a', clientSecret: env('S') };
  return { mechanism: 'oauthbearer', tokenEndpoint };
}

function mistakes(
  kafka: unknown,
  tables: readonly unknown[] = [],
  more: object = {},
): readonly string[] {
  try {
    define({ kafka }, tables, more);
    return [];
  } catch (error) {
    return (error as { readonly details: readonly string[] }).details;
  }
}

test('an outbox that is mapped too would reach no flow where its rows are events and nothing else', () => {
  const tables = [{ monolith: 'events', service: 'event', key: { id: 'id' }, columns: {} }];
  const kafka = { ...KAFKA, outbox: { catalog: [{ table: 'event' }] } };
  expect(mistakes({ ...kafka, layout: 'table' }, tables)).toEqual([
    expect.stringMatching(
      /^changeLog\.kafka\.outbox\.catalog\.0\.table: public\.event is mapped by capability "catalog" too/,
    ),
  ]);
  expect(mistakes(kafka, tables)).toEqual([]);
  const other = { ...kafka, layout: 'table', outbox: { catalog: [{ table: 'events' }] } };
  expect(mistakes(other, tables)).toEqual([]);
});

test('an outbox that no relay would ever read is refused', () => {
  const of = {
    ...KAFKA,
    outbox: { monolith: [{ table: 'outbox' }], catalog: [{ table: 'events' }] },
  };
  const tables = [{ monolith: 'cat', service: 'category', key: { id: 'id' }, columns: {} }];
  const unread = (source: string): unknown =>
    expect.stringMatching(`^changeLog\\.kafka\\.outbox\\.${source}: no relay would ever read it`);
  expect(mistakes(of, tables)).toEqual([]);
  expect(mistakes(of)).toEqual([unread('monolith'), unread('catalog')]);
  // What the service changes goes by a relay of ours still.
  const source = { debezium: { prefix: 'team' } };
  expect(mistakes(of, tables, { source })).toEqual([unread('monolith')]);
});

test('the change log is the slot itself, until Kafka is asked for', () => {
  expect(define(undefined).changeLog).toBe('direct');
  expect(define({ kafka: KAFKA }).changeLog).toEqual({
    kafka: {
      ...KAFKA,
      ...{ clientId: 'banyan', layout: 'changes', compression: 'none', tls: false },
      topics: { partitions: 1, retentionMs: 604_800_000, maxMessageBytes: 16_777_216 },
      outbox: {},
    },
  });
});

test.each<[string, unknown, string]>([
  [
    'a URL for a broker',
    { ...KAFKA, brokers: ['kafka://k:9092'] },
    'changeLog.kafka.brokers.0: is not host:port',
  ],
  ['no broker', { ...KAFKA, brokers: [] }, 'changeLog.kafka.brokers: name at least one broker'],
  ['no prefix', { brokers: ['k:1'] }, 'changeLog.kafka.prefix: '],
  ['a prefix that no topic can have', { ...KAFKA, prefix: 'a b' }, 'prefix: use letters, digits'],
  ['an unknown key', { ...KAFKA, acks: 1 }, 'changeLog.kafka.acks: unknown key'],
  [
    'a layout that there is not',
    { ...KAFKA, layout: 'tables' },
    'changeLog.kafka.layout: Invalid option',
  ],
  [
    'an unknown mechanism',
    { ...KAFKA, sasl: { mechanism: 'gssapi' } },
    "changeLog.kafka.sasl.mechanism: must be 'plain', 'scram-sha-256'",
  ],
  [
    'a password in the definition',
    {
      ...{ ...KAFKA, tls: true },
      sasl: { mechanism: 'plain', username: 'a', password: 'hunter2' },
    },
    'changeLog.kafka.sasl.password: ',
  ],
  [
    'a readable password on an open line',
    { ...KAFKA, sasl: { mechanism: 'plain', username: 'a', password: env('P') } },
    "changeLog.kafka.sasl.mechanism: 'plain' sends the password readable",
  ],
  [
    'a token on an open line',
    { ...KAFKA, sasl: { mechanism: 'oauthbearer', token: env('T') } },
    "changeLog.kafka.sasl.mechanism: 'oauthbearer' sends the token readable",
  ],
  [
    "a client's secret on an open line",
    { ...KAFKA, tls: true, sasl: endpoint('http://idp.example.com/token') },
    'changeLog.kafka.sasl.tokenEndpoint.url: would send the client secret readable',
  ],
  [
    'a host that only begins like this machine',
    { ...KAFKA, tls: true, sasl: endpoint('http://127.0.0.1.example.com/token') },
    'changeLog.kafka.sasl.tokenEndpoint.url: would send the client secret readable',
  ],
  [
    'a bearer without a token',
    { ...KAFKA, tls: true, sasl: { mechanism: 'oauthbearer' } },
    'changeLog.kafka.sasl: name either token or tokenEndpoint',
  ],
  [
    'a certificate without its key',
    { ...KAFKA, tls: { cert: '/c.pem' } },
    'changeLog.kafka.tls: name both cert and key',
  ],
  [
    'partitions where order is promised',
    { ...KAFKA, topics: { partitions: 4 } },
    "changeLog.kafka.topics.partitions: the topic of layout 'changes' has one partition",
  ],
  [
    'a compression that the client lacks',
    { ...KAFKA, compression: 'snappy' },
    "changeLog.kafka.compression: must be 'none', 'gzip' or 'zstd'",
  ],
  [
    'a form of records where there is one only',
    { ...KAFKA, records: { schemas: true } },
    "changeLog.kafka.records: layout 'changes' has one form",
  ],
  [
    'a retention of seconds',
    { ...KAFKA, topics: { retentionMs: 5_000 } },
    'changeLog.kafka.topics.retentionMs: is at least 60000',
  ],
  [
    'an outbox of nobody',
    { ...KAFKA, outbox: { shop: [{ table: 'outbox' }] } },
    'changeLog.kafka.outbox.shop: is neither `monolith` nor a service',
  ],
])('refuses %s', (_, kafka, expected) => {
  const found = mistakes(kafka);
  expect(found).toHaveLength(1);
  expect(found[0]).toContain(expected);
  expect(found[0]).not.toContain('hunter2');
});

test.each(['http://localhost:8080/t', 'http://127.0.0.1/t', 'http://[::1]/t', 'https://idp/t'])(
  'a token may come from %s',
  (url) => {
    expect(mistakes({ ...KAFKA, tls: true, sasl: endpoint(url) })).toEqual([]);
  },
);

test('on this machine a login needs no tls', () => {
  const sasl = endpoint('http://localhost/t');
  expect(mistakes({ ...KAFKA, brokers: ['localhost:9092', '127.0.0.1:9093'], sasl })).toEqual([]);
});

test('a word that is neither home of the change log is told both', () => {
  expect(() => define('kafka')).toThrow(/changeLog: must be 'direct' or \{ kafka: \{ … \} \}/);
});

test('secrets come from the environment and from files, read anew as they change', () => {
  const password = path.join(folder, 'password');
  writeFileSync(password, 'first\n');
  const migration = define({
    kafka: {
      ...{ brokers: env('BROKERS'), prefix: 'shop', tls: true },
      sasl: { mechanism: 'scram-sha-512', username: env('NAME'), password: { file: password } },
    },
  });
  const { kafka } = resolveConnections(migration, { BROKERS: 'a:1, b:2', NAME: 'alice' });
  expect(kafka).toMatchObject({ brokers: ['a:1', 'b:2'], sasl: { username: 'alice' } });
  if (kafka?.sasl?.mechanism !== 'scram-sha-512') throw new Error('no login');
  expect(kafka.sasl.password()).toBe('first');
  writeFileSync(password, 'second');
  expect(kafka.sasl.password()).toBe('second');
});

test('all that cannot be resolved is named at once; an edge asks for nothing of it', () => {
  const migration = define({
    kafka: {
      ...{ brokers: env('BROKERS'), prefix: 'shop' },
      tls: { ca: path.join(folder, 'none.pem') },
      sasl: { mechanism: 'plain', username: 'a', password: env('PASSWORD') },
    },
  });
  const lines = [
    /changeLog\.kafka\.brokers: BROKERS is not host:port/,
    /changeLog\.kafka\.tls\.ca: .*none\.pem cannot be read/,
    /changeLog\.kafka\.sasl\.password: environment variable PASSWORD is not set/,
  ];
  for (const line of lines)
    expect(() => resolveConnections(migration, { BROKERS: 'kafka' })).toThrow(line);
  expect(resolveConnections(migration, {}, 'edge').kafka).toBeUndefined();
});
