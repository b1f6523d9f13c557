// The look at a topic's end, with brokers whose retention deletes meanwhile, and a relay that is ended.
import { getEventListeners } from 'node:events';
import { expect, test } from '@jest/globals';
import { BanyanError } from '../../core/errors.ts';
import type { Admin, Consumer, ConsumerOptions, Fetched } from '../../core/kafka/client.ts';
import { readTopicEnd, type TopicEnd } from './topic-end.ts';

const TOPIC = 'p.changes';

interface Topic {
  low: bigint;
  readonly high: bigint;
  /** Called when a look has been assigned its beginning. */
  onLook?: (topic: Topic) => void;
  looks: bigint[];
  silent?: boolean;
}

function topicOf(high: bigint, more: Partial<Topic> = {}): Topic {
  return { low: 0n, high, looks: [], ...more };
}

const record = (offset: bigint): Fetched => ({
  ...{ topic: TOPIC, partition: 0, key: null, value: '', timestampMs: 0, offset },
  headers: { 'banyan.position': `1/0/${offset.toString(16)}/1`, 'banyan.end': '0/1' },
});

/** Gives the last record only: what lies before it is not of interest here. */
function brokers(topic: Topic): TopicEnd {
  const admin = {
    ranges: () => Promise.resolve([{ partition: 0, low: topic.low, high: topic.high }]),
    close: () => Promise.resolve(),
  } as unknown as Admin;
  const consumer = async (options: ConsumerOptions): Promise<Consumer> => {
    const ended = Promise.withResolvers<undefined>();
    ended.promise.catch(() => undefined);
    const at = { topic: TOPIC, partition: 0 };
    const assignment = { partitions: [at], signal: new AbortController().signal };
    const [start] = await options.assigned(assignment);
    const offset = start?.offset as bigint;
    topic.looks.push(offset);
    topic.onLook?.(topic);
    if (offset < topic.low) ended.reject(new BanyanError('KAFKA_LOG_LOST', 'gone'));
    else if (topic.silent !== true)
      await options.deliver(
        {
          ...{ ...at, records: [record(topic.high - 1n)] },
          ...{ nextOffset: topic.high, endOffset: topic.high },
        },
        assignment,
      );
    return {
      ...{ ended: ended.promise, pause: () => undefined, resume: () => undefined },
      commit: () => Promise.resolve(),
      close: () => Promise.resolve(),
    };
  };
  return {
    kafka: { admin: () => Promise.resolve(admin), consumer },
    topics: [TOPIC],
    groupId: 'g',
  };
}

const never = new AbortController().signal;

test('retention that overtakes a look has it look again from the new beginning', async () => {
  const topic = topicOf(300n, {
    onLook: (one) => {
      if (one.looks.length < 3) one.low += 100n;
    },
  });
  const found = await readTopicEnd(brokers(topic), () => false, never);
  expect(topic.looks).toEqual([0n, 100n, 200n]);
  // A relay looks at each of its lives, by one signal.
  expect(getEventListeners(never, 'abort')).toHaveLength(0);
  expect(found).toMatchObject({ isCut: true, marks: [{ position: { commitLsn: 299n } }, {}] });
});

test('where retention is always faster, that is said, and may be tried again', async () => {
  const topic = topicOf(10_000n, {
    onLook: (one) => {
      one.low = (one.looks.at(-1) ?? 0n) + 1n;
    },
  });
  await expect(readTopicEnd(brokers(topic), () => false, never)).rejects.toMatchObject({
    code: 'KAFKA_UNREACHABLE',
  });
});

test('a look that is broken off says nothing, and is no failure', async () => {
  const stop = new AbortController();
  const topic = topicOf(300n, {
    silent: true,
    onLook: () => {
      stop.abort();
    },
  });
  expect(await readTopicEnd(brokers(topic), () => false, stop.signal)).toBeUndefined();
});

test('it reads backwards in growing steps, until they settle it or there is no more', async () => {
  const topic = topicOf(70_000_000n);
  const depths: bigint[] = [];
  await readTopicEnd(
    brokers(topic),
    (_, depth) => {
      depths.push(depth);
      return depth === 5_000_000n;
    },
    never,
  );
  expect(depths).toEqual([5_000n, 500_000n, 5_000_000n]);
  expect(topic.looks).toEqual([69_995_000n, 69_500_000n, 65_000_000n]);
  const whole = topicOf(20_000n, { low: 7n });
  await readTopicEnd(brokers(whole), () => false, never);
  expect(whole.looks).toEqual([15_000n, 7n]);
});

test('what retention has emptied is told from what was made anew', async () => {
  for (const low of [0n, 300n])
    expect(await readTopicEnd(brokers(topicOf(low, { low })), () => false, never)).toMatchObject({
      marks: [],
      isCut: low > 0n,
    });
});
