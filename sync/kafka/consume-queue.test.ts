// The queue by itself, its consumer no more than what the test has it deliver.
import { getEventListeners } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import type { Consumer, ConsumerOptions, Fetched, KafkaClient } from '../../core/kafka/client.ts';
import { RecordQueue } from './consume-queue.ts';
import type { Pace } from './inflow.ts';

const AT = { topic: 't', partition: 0 };
const NAME = 't/0';

const record = (offset: number, bytes = 100): Fetched => ({
  ...{ ...AT, key: null, value: '', headers: {}, timestampMs: 0, bytes },
  offset: BigInt(offset),
});

/** A queue, what it did with its consumer, and the means to deliver to it. */
async function opened(queueBytes: number, pace?: Pace) {
  const made = withConsumer(queueBytes, pace);
  await made.queue.open();
  return made;
}

function withConsumer(queueBytes: number, pace?: Pace, joined = Promise.resolve()) {
  let options: ConsumerOptions | undefined;
  const asked: string[] = [];
  const kafka = {
    consumer: async (given: ConsumerOptions): Promise<Consumer> => {
      options = given;
      await joined;
      return {
        ended: new Promise<never>(() => undefined),
        pause: () => asked.push('pause'),
        resume: () => asked.push('resume'),
        commit: () => Promise.resolve(),
        close: () => Promise.resolve(void asked.push('close')),
      };
    },
  } as unknown as KafkaClient;
  const from = new Map([[NAME, 0n]]);
  const queue = new RecordQueue({ kafka, groupId: 'g', from, dense: true, queueBytes }, pace);
  let next = 0;
  /** Resolves when the next batch may come; behind this one so many more records are there. */
  const deliver = async (count: number, bytes?: number, more = 0): Promise<void> => {
    const records = Array.from({ length: count }, (_, index) => record(next + index, bytes));
    next += count;
    const nextOffset = BigInt(next);
    const endOffset = nextOffset + BigInt(more);
    const assignment = { partitions: [AT], signal: new AbortController().signal };
    await options?.deliver({ ...AT, records, nextOffset, endOffset }, assignment);
  };
  return { queue, asked, deliver };
}

test('whoever waits often leaves nothing behind at the signal', async () => {
  const { queue, deliver } = await opened(1_000_000);
  const over = new AbortController();
  for (let round = 0; round < 20; round++) {
    const waiting = queue.wait(over.signal);
    await deliver(1);
    expect(await waiting).toBe(true);
    expect(queue.take(NAME, 1)).toHaveLength(1);
  }
  expect(getEventListeners(over.signal, 'abort')).toEqual([]);
  const waiting = queue.wait(over.signal);
  over.abort();
  expect(await waiting).toBe(false);
});

test('one that is closed while it joins its group leaves it again', async () => {
  const joined = Promise.withResolvers<undefined>();
  const { queue, asked } = withConsumer(1_000_000, undefined, joined.promise);
  const opening = queue.open();
  await queue.close();
  expect(asked).toEqual([]);
  joined.resolve(undefined);
  await opening;
  expect(asked).toEqual(['close']);
});

test('a partition that is full is paused, and fetched again before it is empty', async () => {
  const { queue, asked, deliver } = await opened(10_000);
  await deliver(60);
  expect(asked).toEqual([]);
  await deliver(60);
  expect(asked).toEqual(['pause']);
  const all: bigint[] = [];
  while (!asked.includes('resume')) all.push(...queue.take(NAME, 1).map(({ offset }) => offset));
  expect(all.length).toBeLessThan(90);
  all.push(...queue.take(NAME, 1_000_000).map(({ offset }) => offset));
  expect(all).toEqual(Array.from({ length: 120 }, (_, offset) => BigInt(offset)));
});

/** Whether it has settled without any time passing. */
async function isPrompt(promise: Promise<void>): Promise<boolean> {
  let settled = false;
  void promise.then(() => (settled = true));
  await nextTurn();
  return settled;
}

test('where a partition fills fast, its end is not asked for at once', async () => {
  let now = 0;
  let goOn = (): void => undefined;
  const { queue, deliver } = await opened(100_000_000, {
    now: () => now,
    rest: () => new Promise((resolve) => (goOn = resolve)),
  });
  // As long as nothing is known of it, and while little comes.
  expect(await isPrompt(deliver(1, 5_000_000))).toBe(true);
  now += 120;
  // More is there: it comes at once.
  expect(await isPrompt(deliver(1, 5_000_000, 1))).toBe(true);
  const rest = deliver(1, 1_000);
  expect(await isPrompt(rest)).toBe(false);
  // What has come is there meanwhile.
  expect(await queue.wait(new AbortController().signal)).toBe(true);
  expect(queue.take(NAME, 100_000_000)).toHaveLength(3);
  now += 300;
  goOn();
  await rest;
  // By then little has come for a while.
  expect(await isPrompt(deliver(1, 1_000))).toBe(true);
});
