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
  name: 'monolith',
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

test('a row for a partition that its topic does not have is named', async () => {
  const sent = events({ orders: 2 }).of(
    piece(['a', 'orders', '1', '{}', '1'], ['b', 'orders', '1', '{}', '2']),
  );
  await expect(sent).rejects.toMatchObject({
    code: 'FLOW_STOPPED',
    message:
      'the event of outbox row b, at position 1/0/10/2, is for partition 2 of topic orders, which has 2 of them',
    hint: expect.stringContaining('Give the topic more partitions') as unknown,
  });
});

test('partitions that a topic gets later are seen', async () => {
  const topics = { orders: 1 };
  const outbox = events(topics);
  expect(await outbox.of(piece(['a', 'orders', '1', '{}', '0']))).toMatchObject([{ partition: 0 }]);
  topics.orders = 3;
  expect(await outbox.of(piece(['b', 'orders', '1', '{}', '2']))).toMatchObject([{ partition: 2 }]);
});

test('a row whose topic cannot be made is named, and what can be done', async () => {
  const refusal = new BanyanError('KAFKA_REFUSED', 'INVALID_TOPIC_EXCEPTION', { hint: 'Look.' });
  const sent = events({ orders: 1 }, refusal).of(
    piece(['a', 'orders', '1', '{}', null], ['b', '..', '1', '{}', null]),
  );
  await expect(sent).rejects.toMatchObject({
    code: 'KAFKA_REFUSED',
    message: expect.stringMatching(
      /row b, at position 1\/0\/10\/2, goes to topic \.\., which cannot be made: INVALID/,
    ) as unknown,
    hint: expect.stringMatching(/^Look\. All after this row waits/) as unknown,
  });
});

test('a topic that is missing is made', async () => {
  const topics: Record<string, number> = {};
  expect(await events(topics).of(piece(['a', 'orders', '1', '{}', null]))).toHaveLength(1);
  expect(topics).toEqual({ orders: 1 });
});
