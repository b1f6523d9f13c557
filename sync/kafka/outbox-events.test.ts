import { expect, test } from '@jest/globals';
import { BanyanError } from '../../core/errors.ts';
import type { Admin, KafkaRecord, NewTopic } from '../../core/kafka/client.ts';
import { createLogger } from '../../core/log.ts';
import type { Piece, Relation } from '../domain/change.ts';
import { OutboxEvents, type Posted } from './outbox-events.ts';
import { bytesOf } from './record-size.ts';
import type { RelaySource } from './relay-sources.ts';
import { producing } from '../../test/support/producing.ts';

const COLUMNS = ['id', 'aggregatetype', 'aggregateid', 'payload', 'shard'];
const relation: Relation = {
  ...{ schema: 'public', table: 'outbox' },
  columns: COLUMNS.map((name) => ({ name, key: name === 'id' })),
};
const source = {
  ...{ name: 'monolith', prefix: 'p.monolith' },
  settings: { topics: { partitions: 1, retentionMs: -1, maxMessageBytes: 65_536 } },
  reserved: new Set(['p.monolith.changes', 'p.monolith.dead-letters']),
  outboxes: [
    {
      table: 'public.outbox',
      columns: { id: 'id', key: 'aggregateid', payload: 'payload', routeBy: 'aggregatetype' },
      topic: '${routedByValue}',
      additional: [{ column: 'shard', placement: 'partition', alias: 'shard' }],
      ...{ expandJson: false, tombstoneOnEmpty: false, onUpdate: 'warn' },
    },
  ],
} as unknown as RelaySource;

interface Brokers {
  /** By name: how many partitions, and the bytes that one takes. */
  readonly topics: Record<string, number>;
  readonly limits?: Record<string, string>;
  /** What is thrown when a topic is to be made, and when one is written to, by topic. */
  readonly making?: Record<string, BanyanError>;
  readonly writing?: Record<string, BanyanError>;
  /** Bytes that a topic takes, where its settings do not tell. */
  readonly takes?: Record<string, number>;
  /** What was sent alone. */
  readonly sent: KafkaRecord[];
}

function brokers(topics: Record<string, number>, more: Partial<Brokers> = {}): Brokers {
  return { topics, sent: [], ...more };
}

function events(
  { topics, limits = {}, making = {}, writing = {}, takes = {}, sent }: Brokers,
  of = source,
  isWritten = () => Promise.resolve(true),
): { of(rows: Piece): Promise<Posted> } {
  const admin = {
    topics: (names: string[]) =>
      Promise.resolve(
        new Map(
          names
            .filter((name) => topics[name] !== undefined)
            .map((topic) => [
              topic,
              {
                ...{ topic, partitions: topics[topic] },
                config: limits[topic] === undefined ? {} : { 'max.message.bytes': limits[topic] },
              },
            ]),
        ),
      ),
    create: (wanted: NewTopic[]) => {
      for (const { topic, partitions } of wanted) {
        if (making[topic]) return Promise.reject(making[topic]);
        topics[topic] = partitions;
      }
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  } as unknown as Admin;
  const producer = producing((records) => {
    const refusal = records.map(({ topic }) => writing[topic]).find((one) => one);
    if (refusal) return Promise.reject(refusal);
    if (records.some((record) => bytesOf(record) > (takes[record.topic] ?? Infinity)))
      return Promise.reject(refused('a message that is too large'));
    sent.push(...records);
    return Promise.resolve();
  });
  const kafka = { admin: () => Promise.resolve(admin), producer: () => Promise.resolve(producer) };
  const all = new OutboxEvents(of, () => undefined, kafka, createLogger({}, 'silent'), 1);
  return { of: (rows) => all.of(rows, isWritten) };
}

const piece = (...rows: (string | null)[][]): Piece => ({
  head: { xid: 1, commitLsn: 0x10n, commitMs: 0, origin: undefined },
  changes: rows.map((after) => ({ kind: 'insert', relation, after })),
  ...{ size: rows.length, bytes: 1, firstSeq: 1, endLsn: 0x20n },
});

const LETTERS = 'p.monolith.dead-letters';

test('rows that cannot be events are dead letters in their place, and the rest goes on', async () => {
  const orders = brokers({ orders: 2 });
  const posted = await events(orders).of(
    piece(
      ['a', 'orders', '1', '{}', '1'],
      ['b', 'orders', '1', '{"x":1}', '2'],
      ['c', 'orders', '1', '{}', 'none'],
      ['d', '..', '1', '{}', null],
      ['e', 'orders', '1', 'x'.repeat(70_000), '0'],
      ['f', 'orders', '1', '{}', '0'],
    ),
  );
  expect(posted.letters).toBe(4);
  // The first of a topic goes ahead, and before all the first letter that is known to be one.
  const records = [...orders.sent, ...posted.records];
  expect(records.map(({ topic }) => topic)).toEqual([
    ...[LETTERS, 'orders', LETTERS, LETTERS, LETTERS, 'orders'],
  ]);
  expect(records[2]).toEqual({
    ...{ topic: LETTERS, partition: 0, key: '{"id":"b"}' },
    value:
      '{"id":"b","aggregatetype":"orders","aggregateid":"1","payload":"{\\"x\\":1}","shard":"2"}',
    headers: {
      'banyan.position': '1/0/10/2',
      'banyan.error': 'it is for partition 2 of topic orders, which has 2 of them',
      'banyan.outbox': 'public.outbox',
    },
  });
  const [first, , , ...others] = records.slice(0, 5);
  expect([first, ...others].map((one) => one?.headers['banyan.error'])).toEqual([
    "its shard is no number of a partition: 'none'",
    "'..' is no name of a topic",
    expect.stringMatching(/^it has 70\d+ bytes, and a topic takes 65536$/),
  ]);
  expect((records[4]?.value ?? '').length).toBeLessThan(2_000);
});

test.each(['p.monolith.changes', LETTERS, '__consumer_offsets', '__x'])(
  'a row that is routed to %s is a dead letter: others read that as something else',
  async (topic) => {
    const some = brokers({ orders: 1, [LETTERS]: 1, [topic]: 1 });
    const { records, letters } = await events(some).of(
      piece(['a', topic, '1', '{}', null], ['b', 'orders', '1', '{}', null]),
    );
    expect(letters).toBe(1);
    const all = [...some.sent, ...records];
    expect(all.map((one) => one.topic)).toEqual([LETTERS, 'orders']);
    expect(all[0]).toMatchObject({
      key: '{"id":"a"}',
      headers: { 'banyan.error': `'${topic}' is a topic with a use of its own` },
    });
  },
);

test('partitions that a topic gets later are seen', async () => {
  const orders = brokers({ orders: 1 });
  const outbox = events(orders);
  await outbox.of(piece(['a', 'orders', '1', '{}', '0']));
  expect(orders.sent).toMatchObject([{ partition: 0 }]);
  orders.topics['orders'] = 3;
  expect((await outbox.of(piece(['b', 'orders', '1', '{}', '2']))).records).toMatchObject([
    { partition: 2 },
  ]);
});

const refused = (message: string): BanyanError => new BanyanError('KAFKA_REFUSED', message);

test('rows whose topic cannot be made, or written to, are dead letters, and hold nobody up', async () => {
  const some = brokers(
    { orders: 1, secret: 1 },
    {
      making: { bills: refused('no right to make it') },
      writing: { secret: refused('no right to write it') },
    },
  );
  const outbox = events(some);
  const rows = piece(
    ['a', 'orders', '1', '{}', null],
    ['b', 'bills', '1', '{}', null],
    ['c', 'secret', '1', '{}', null],
    ['d', 'secret', '1', '{}', null],
    ['e', 'orders', '1', '{}', null],
  );
  const { records, letters } = await outbox.of(rows);
  expect(letters).toBe(3);
  expect(some.sent.map(({ topic }) => topic)).toEqual(['orders', LETTERS]);
  expect(records.map(({ topic }) => topic)).toEqual([LETTERS, LETTERS, 'orders']);
  const all = [...some.sent.slice(1), ...records.slice(0, 2)];
  expect(all.map(({ headers }) => headers['banyan.error'])).toEqual([
    'topic bills cannot be had: no right to make it',
    'topic secret cannot be had: no right to write it',
    'topic secret cannot be had: no right to write it',
  ]);
});

test('brokers that do not answer are no reason to leave an event out', async () => {
  const away = new BanyanError('KAFKA_UNREACHABLE', 'no answer');
  for (const more of [{ making: { orders: away } }, { writing: { orders: away } }]) {
    const topics: Record<string, number> = 'writing' in more ? { orders: 1 } : {};
    const sent = events(brokers(topics, more)).of(piece(['a', 'orders', '1', '{}', null]));
    await expect(sent).rejects.toBe(away);
  }
});

test('where there can be no topic of dead letters, that is said', async () => {
  const some = brokers({}, { making: { [LETTERS]: refused('no right') } });
  await expect(events(some).of(piece(['a', '..', '1', '{}', null]))).rejects.toMatchObject({
    code: 'KAFKA_REFUSED',
    hint: expect.stringMatching(/or make this one/) as unknown,
  });
});

test("what is larger than the team's own topic takes is a dead letter", async () => {
  const some = brokers({ orders: 1 }, { limits: { orders: '2000' } });
  const { records } = await events(some).of(
    piece(['a', 'orders', '1', 'x'.repeat(3_000), null], ['b', 'orders', '1', '{}', null]),
  );
  expect(some.sent.map(({ topic }) => topic)).toEqual([LETTERS, 'orders']);
  expect(some.sent[0]?.headers['banyan.error']).toMatch(/bytes, and topic orders takes 2000$/);
  expect(records).toEqual([]);
});

const LARGE: RelaySource = {
  ...source,
  settings: { topics: { partitions: 1, retentionMs: -1, maxMessageBytes: 16_777_216 } } as never,
};

test('what may be too large for a topic whose limit cannot be read goes alone, behind what comes before it', async () => {
  const some = brokers({ orders: 1, [LETTERS]: 1 }, { takes: { orders: 1_000_000 } });
  const asked: number[] = [];
  const outbox = events(some, LARGE, () => {
    asked.push(some.sent.length);
    return Promise.resolve(true);
  });
  const row = (id: string, bytes: number): string[] => [id, 'orders', '1', 'x'.repeat(bytes)];
  const posted = await outbox.of(
    piece(row('a', 1), row('b', 1), row('c', 950_000), row('d', 1), row('e', 1_200_000)),
  );
  expect(some.sent.map(({ key, headers }) => headers['id'] ?? key)).toEqual([
    ...['a', 'b', 'c', 'd', '{"id":"e"}'],
  ]);
  expect(some.sent.at(-1)?.headers['banyan.error']).toMatch(/^topic orders .* is too large$/);
  expect(some.sent.at(-1)?.value?.length).toBeLessThan(2_000);
  expect(posted).toEqual({ records: [], letters: 1 });
  // One look, before anything of the piece is there.
  expect(asked).toEqual([0]);
  // The topic itself is as good as before.
  expect(await outbox.of(piece(row('f', 1)))).toMatchObject({
    records: [{ headers: { id: 'f' } }],
    letters: 0,
  });
});

test('nothing is sent alone while what comes before it is not there', async () => {
  const some = brokers({ orders: 1 });
  const outbox = events(some, LARGE, () => Promise.resolve(false));
  const posted = await outbox.of(piece(['a', 'orders', '1', 'x'.repeat(950_000)]));
  expect([posted.records, some.sent]).toEqual([[], []]);
});

test('where dead letters cannot be written, that is said before anything of the piece is there', async () => {
  const some = brokers(
    { orders: 1, [LETTERS]: 1 },
    { writing: { [LETTERS]: refused('no right') } },
  );
  const sent = events(some).of(
    piece(['a', 'orders', '1', '{}', null], ['b', '..', '1', '{}', null]),
  );
  await expect(sent).rejects.toMatchObject({
    code: 'KAFKA_REFUSED',
    message: `topic ${LETTERS}, for rows of an outbox that cannot be events, cannot be written: no right`,
    hint: expect.stringMatching(/nothing is lost, and it goes on by itself/) as unknown,
  });
  expect(some.sent).toEqual([]);
});

test('a dead letter is cut to what its topic takes, down to the key of its row', async () => {
  const limited = (bytes: number): Brokers =>
    brokers({ [LETTERS]: 1 }, { limits: { [LETTERS]: String(bytes) } });
  const row = ['an-id', '..', '1', 'x'.repeat(50_000), null];
  const letterIn = async (bytes: number): Promise<KafkaRecord | undefined> => {
    const some = limited(bytes);
    await events(some).of(piece(row));
    return some.sent[0];
  };
  for (const bytes of [2_000, 600, 370, 300]) {
    const letter = await letterIn(bytes);
    if (!letter) throw new Error('no letter');
    expect(bytesOf(letter)).toBeLessThanOrEqual(bytes);
    expect(letter.key).toBe('{"id":"an-id"}');
  }
  expect((await letterIn(370))?.value).toMatch(/"payload":"x{10}"/);
  expect((await letterIn(300))?.value).toBeNull();
  await expect(letterIn(100)).rejects.toMatchObject({
    code: 'KAFKA_REFUSED',
    message: expect.stringMatching(/takes 100 bytes, too few for the key of a row/) as unknown,
  });
});

test('a topic that is missing is made', async () => {
  const some = brokers({});
  await events(some).of(piece(['a', 'orders', '1', '{}', null]));
  expect(some.topics).toEqual({ orders: 1 });
  expect(some.sent).toHaveLength(1);
});
