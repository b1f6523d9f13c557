import { expect, test } from '@jest/globals';
import { BanyanError } from '../../core/errors.ts';
import type { Admin, NewTopic } from '../../core/kafka/client.ts';
import { createLogger } from '../../core/log.ts';
import type { Piece, Relation } from '../domain/change.ts';
import { OutboxEvents } from './outbox-events.ts';
import type { RelaySource } from './relay-sources.ts';

const COLUMNS = ['id', 'aggregatetype', 'aggregateid', 'payload', 'shard'];
const relation: Relation = {
  ...{ schema: 'public', table: 'outbox' },
  columns: COLUMNS.map((name) => ({ name, key: name === 'id' })),
};
const source = {
  ...{ name: 'monolith', prefix: 'p.monolith' },
  settings: { topics: { partitions: 1, retentionMs: -1, maxMessageBytes: 65_536 } },
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

/** Topics by name with their partitions, and what is thrown when one is to be made. */
function events(topics: Record<string, number>, refusal?: BanyanError): OutboxEvents {
  const admin = {
    topics: (names: string[]) =>
      Promise.resolve(
        new Map(
          names
            .filter((name) => topics[name] !== undefined)
            .map((name) => [name, { topic: name, partitions: topics[name] }]),
        ),
      ),
    create: (wanted: NewTopic[]) => {
      if (refusal && wanted.length > 0) return Promise.reject(refusal);
      for (const { topic, partitions } of wanted) topics[topic] = partitions;
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  } as unknown as Admin;
  const kafka = { admin: () => Promise.resolve(admin) };
  return new OutboxEvents(source, () => undefined, kafka, createLogger({}, 'silent'), 1);
}

const piece = (...rows: (string | null)[][]): Piece => ({
  head: { xid: 1, commitLsn: 0x10n, commitMs: 0, origin: undefined },
  changes: rows.map((after) => ({ kind: 'insert', relation, after })),
  ...{ size: rows.length, bytes: 1, firstSeq: 1, endLsn: 0x20n },
});

const LETTERS = 'p.monolith.dead-letters';

test('rows that cannot be events are dead letters in their place, and the rest goes on', async () => {
  const { records, letters } = await events({ orders: 2 }).of(
    piece(
      ['a', 'orders', '1', '{}', '1'],
      ['b', 'orders', '1', '{"x":1}', '2'],
      ['c', 'orders', '1', '{}', 'none'],
      ['d', '..', '1', '{}', null],
      ['e', 'orders', '1', 'x'.repeat(70_000), '0'],
      ['f', 'orders', '1', '{}', '0'],
    ),
  );
  expect(letters).toBe(4);
  expect(records.map(({ topic }) => topic)).toEqual([
    ...['orders', LETTERS, LETTERS, LETTERS, LETTERS, 'orders'],
  ]);
  expect(records[1]).toEqual({
    ...{ topic: LETTERS, partition: 0, key: '{"id":"b"}' },
    value:
      '{"id":"b","aggregatetype":"orders","aggregateid":"1","payload":"{\\"x\\":1}","shard":"2"}',
    headers: {
      'banyan.position': '1/0/10/2',
      'banyan.error': 'it is for partition 2 of topic orders, which has 2 of them',
      'banyan.outbox': 'public.outbox',
    },
  });
  expect(records.slice(2, 5).map(({ headers }) => headers['banyan.error'])).toEqual([
    "its shard is no number of a partition: 'none'",
    "'..' is no name of a topic",
    expect.stringMatching(/^it has 70\d+ bytes, and a topic takes 65536$/),
  ]);
  expect((records[4]?.value ?? '').length).toBeLessThan(2_000);
});

test('partitions that a topic gets later are seen', async () => {
  const topics = { orders: 1 };
  const outbox = events(topics);
  expect((await outbox.of(piece(['a', 'orders', '1', '{}', '0']))).records).toMatchObject([
    { partition: 0 },
  ]);
  topics.orders = 3;
  expect((await outbox.of(piece(['b', 'orders', '1', '{}', '2']))).records).toMatchObject([
    { partition: 2 },
  ]);
});

test('a row whose topic cannot be made is named, and what can be done', async () => {
  const refusal = new BanyanError('KAFKA_REFUSED', 'INVALID_TOPIC_EXCEPTION', { hint: 'Look.' });
  const sent = events({ orders: 1 }, refusal).of(
    piece(['a', 'orders', '1', '{}', null], ['b', 'bills', '1', '{}', null]),
  );
  await expect(sent).rejects.toMatchObject({
    code: 'KAFKA_REFUSED',
    message: expect.stringMatching(
      /row b, at position 1\/0\/10\/2, goes to topic bills, which cannot be made: INVALID/,
    ) as unknown,
    hint: expect.stringMatching(/^Look\. All after this row waits/) as unknown,
  });
});

test('a topic that is missing is made', async () => {
  const topics: Record<string, number> = {};
  expect((await events(topics).of(piece(['a', 'orders', '1', '{}', null]))).records).toHaveLength(
    1,
  );
  expect(topics).toEqual({ orders: 1 });
});
