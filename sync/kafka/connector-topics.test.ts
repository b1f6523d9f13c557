import { expect, test } from '@jest/globals';
import type { Admin } from '../../core/kafka/client.ts';
import type { LogPlace } from '../domain/change.ts';
import { beginningOf } from './connector-topics.ts';

const POSITION = { timeline: 1, commitLsn: 9n, seq: 0 };

/** Topics by name: where each partition ends. */
function brokers(topics: Record<string, readonly bigint[]>): Admin {
  return {
    topics: (names: readonly string[]) =>
      Promise.resolve(new Map(names.filter((name) => name in topics).map((name) => [name, {}]))),
    ranges: (topic: string) =>
      Promise.resolve(
        (topics[topic] ?? []).map((high, partition) => ({ partition, low: 0n, high })),
      ),
  } as unknown as Admin;
}

const stored = (places: Record<string, bigint>): Map<string, LogPlace> =>
  new Map(
    Object.entries(places).map(([name, next]) => [name, { next, position: POSITION, part: 0 }]),
  );

const lanesOf = async (
  topics: Record<string, readonly bigint[]>,
  places: Record<string, bigint>,
) => {
  const { lanes } = await beginningOf(
    brokers(topics),
    Object.keys(topics),
    stored(places),
    POSITION,
  );
  return Object.fromEntries([...lanes].map(([name, { next }]) => [name, next]));
};

test('a new flow begins at the ends, another goes on', async () => {
  expect(await lanesOf({ a: [5n, 0n] }, {})).toEqual({ 'a/0': 5n, 'a/1': 0n });
  expect(await lanesOf({ a: [5n, 3n] }, { 'a/0': 4n, 'a/1': 3n })).toEqual({
    'a/0': 4n,
    'a/1': 3n,
  });
});

test('a topic that the connector has made since may have any number of partitions', async () => {
  expect(await lanesOf({ a: [5n, 3n] }, { 'a/0': 0n })).toEqual({ 'a/0': 0n, 'a/1': 0n });
});

test('a topic that has got more partitions is not read on: a key may stand in another one since', async () => {
  await expect(lanesOf({ a: [5n, 3n] }, { 'a/0': 4n })).rejects.toMatchObject({
    code: 'KAFKA_LOG_LOST',
    message: expect.stringContaining('topic a has 2 partitions, and had 1'),
  });
});
