// The outlet by itself: what it has written is a gapless run whatever its producer does, and several
// runs over one log, zombies and late writes included, leave a topic from which the log can be read.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { KafkaRecord, Producer } from '../../core/kafka/client.ts';
import { waitFor } from '../../core/lifecycle.ts';
import { producing } from '../../test/support/producing.ts';
import type { Pace } from './inflow.ts';
import { Outlet, type Parcel, type Written } from './outlet.ts';

const REFUSED = new Error('refused');

function record(place: number, size = 10): KafkaRecord {
  return { topic: 't', key: null, value: 'v'.repeat(size), headers: { place: String(place) } };
}

/** A transaction of one record; its place in the log stands for its LSNs. */
function parcel(place: number, size?: number): Parcel {
  const lsn = BigInt(place);
  return {
    records: [record(place, size)],
    through: { commitLsn: lsn, endLsn: lsn + 1n, seq: 1, commitMs: 0 },
  };
}

const placesOf = (records: readonly KafkaRecord[]): number[] =>
  records.map(({ headers }) => Number(headers['place']));

interface Held extends Producer {
  /** What was asked for and has not been answered. */
  readonly asked: { readonly places: number[]; done(): void; fail(): void }[];
}

/** A producer whose answers the test gives. */
function held(): Held {
  const asked: Held['asked'] = [];
  const send = (records: readonly KafkaRecord[]): Promise<void> =>
    new Promise((resolve, reject) => {
      asked.push({
        places: placesOf(records),
        done: resolve,
        fail: () => {
          reject(REFUSED);
        },
      });
    });
  return { asked, ...producing(send) };
}

const soon = (what: string, probe: () => boolean): Promise<unknown> =>
  waitFor(probe, { timeoutMs: 30_000, everyMs: 1, what });

test('one request is under way at a time, and takes along whatever waits', async () => {
  const producer = held();
  const written: Written[] = [];
  const outlet = new Outlet({
    producer,
    onWritten: ({ transactions }) => written.push(...transactions),
  });
  const stop = new AbortController();
  const running = outlet.run(stop.signal);
  for (const place of [1, 2, 3, 4]) await outlet.give(parcel(place));
  await soon('a request', () => producer.asked.length === 1);
  expect(written).toEqual([]);
  for (let answered = 0; !outlet.empty; answered++) {
    await soon('the next request', () => producer.asked.length === answered + 1);
    producer.asked[answered]?.done();
    await soon('its effect', () => outlet.empty || producer.asked.length > answered + 1);
  }
  expect(producer.asked.flatMap(({ places }) => places)).toEqual([1, 2, 3, 4]);
  expect(producer.asked.length).toBeLessThan(4);
  expect(written.map(({ endLsn }) => endLsn)).toEqual([2n, 3n, 4n, 5n]);
  stop.abort();
  await running;
});

test('where much comes, what comes in a moment goes together; where little does, at once', async () => {
  const producer = held();
  let clock = 0;
  const rests: (() => void)[] = [];
  const pace: Pace = {
    now: () => clock,
    rest: (ms) =>
      new Promise((resolve) => {
        rests.push(() => {
          clock += ms;
          resolve();
        });
      }),
  };
  const outlet = new Outlet({ producer, onWritten: () => undefined, pace });
  const stop = new AbortController();
  const running = outlet.run(stop.signal);
  /** What the next request has, which is answered after a while. */
  const next = async (answerMs = 0): Promise<number[]> => {
    await soon('a request', () => producer.asked.length > 0);
    const [request] = producer.asked.splice(0);
    clock += answerMs;
    request?.done();
    await soon('its effect', () => outlet.empty);
    return request?.places ?? [];
  };
  await outlet.give(parcel(1, 900_000));
  await next(120);
  await outlet.give(parcel(2));
  await next();
  for (const place of [3, 4, 5]) {
    await outlet.give(parcel(place));
    await nextTurn();
  }
  expect([rests.length, producer.asked.length]).toEqual([1, 0]);
  rests[0]?.();
  expect(await next()).toEqual([3, 4, 5]);
  // What is enough for a request waits for no more.
  await outlet.give(parcel(6, 500_000));
  expect(await next()).toEqual([6]);
  // By the end of this one little has come for a while.
  clock += 1_000;
  await outlet.give(parcel(7));
  await next();
  await outlet.give(parcel(8));
  expect(await next()).toEqual([8]);
  expect(rests).toHaveLength(1);
  stop.abort();
  await running;
});

test('after a request that failed nothing more is asked for, and nobody is left waiting', async () => {
  const producer = held();
  const written: Written[] = [];
  const outlet = new Outlet({
    producer,
    onWritten: ({ transactions }) => written.push(...transactions),
    limitBytes: 1_000,
  });
  const failed = expect(outlet.run(new AbortController().signal)).rejects.toBe(REFUSED);
  await outlet.give(parcel(1));
  await soon('a request', () => producer.asked.length === 1);
  await outlet.give(parcel(2, 2_000));
  const blocked = outlet.give(parcel(3));
  producer.asked[0]?.fail();
  await failed;
  await blocked;
  await outlet.give(parcel(4));
  expect(producer.asked).toHaveLength(1);
  expect(written).toEqual([]);
});

test('whoever gives more than there is room for waits', async () => {
  const producer = held();
  const outlet = new Outlet({ producer, onWritten: () => undefined, limitBytes: 1_000 });
  const stop = new AbortController();
  const running = outlet.run(stop.signal);
  await outlet.give(parcel(1, 1_500));
  let taken = false;
  const second = outlet.give(parcel(2)).then(() => {
    taken = true;
  });
  await soon('a request', () => producer.asked.length === 1);
  expect(taken).toBe(false);
  producer.asked[0]?.done();
  await second;
  await soon('the next request', () => producer.asked.length === 2);
  stop.abort();
  producer.asked[1]?.done();
  await running;
});

test('a large parcel goes in several requests, and counts as written with the last of them', async () => {
  const producer = held();
  const written: Written[] = [];
  const outlet = new Outlet({
    producer,
    onWritten: ({ transactions }) => written.push(...transactions),
  });
  const stop = new AbortController();
  const running = outlet.run(stop.signal);
  const records = Array.from({ length: 20 }, (_, place) => record(place, 400_000));
  let isGiven = false;
  const giving = outlet.give({ ...parcel(1), records }).then(() => {
    isGiven = true;
  });
  const sizes: number[] = [];
  while (sizes.reduce((sum, size) => sum + size, 0) < records.length) {
    const { length } = sizes;
    await soon('a request', () => producer.asked.length > length);
    expect(written).toEqual([]);
    // What waits is bounded all the while.
    if (length === 0) expect(isGiven).toBe(false);
    const one = producer.asked[length];
    sizes.push(one?.places.length ?? 0);
    one?.done();
  }
  await giving;
  await soon('its effect', () => outlet.empty);
  expect(Math.max(...sizes)).toBeLessThan(4);
  expect(producer.asked.flatMap(({ places }) => places)).toEqual(records.map((_, place) => place));
  expect(written).toEqual([parcel(1).through]);
  stop.abort();
  await running;
});

/** What becomes of a request. */
type Fate = 'written' | 'refused' | 'late';

/**
 * Several relays over one log of `length` transactions, one after the other and at the same time: each
 * begins at what is confirmed then, goes on though others have begun, and ends at its first refusal.
 */
async function runs(length: number, fates: readonly Fate[], turns: readonly number[]) {
  const topic: number[] = [];
  let confirmed = 0;
  const late: number[][] = [];
  const relays = new Set<{ next: number; outlet: Outlet; ended: boolean }>();
  let fate = 0;
  const begin = (): void => {
    const relay = {
      next: confirmed,
      ended: false,
      outlet: new Outlet({
        producer: producing(async (records) => {
          await Promise.resolve();
          const what = fates[fate++ % fates.length] ?? 'written';
          if (what === 'written') topic.push(...placesOf(records));
          else {
            if (what === 'late') late.push(placesOf(records));
            throw REFUSED;
          }
        }),
        // A zombie's confirmations reach no server; to count them would not harm either.
        onWritten: ({ transactions: some }) => {
          confirmed = Math.max(confirmed, Number(some.at(-1)?.endLsn ?? 0));
        },
      }),
    };
    relays.add(relay);
    relay.outlet.run(new AbortController().signal).catch(() => {
      relay.ended = true;
    });
  };
  begin();
  for (let turn = 0; confirmed < length && turn < 5_000; turn++) {
    const live = [...relays].filter(({ ended }) => !ended);
    const pick = turns[turn % turns.length] ?? 0;
    const one = live[pick % Math.max(1, live.length)];
    if (!one || (pick % 7 === 0 && live.length < 3)) begin();
    else if (one.next < length) await one.outlet.give(parcel(one.next++));
    if (pick % 3 === 0) topic.push(...(late.shift() ?? []));
    await new Promise(setImmediate);
  }
  return { topic, confirmed };
}

test('whatever relays and brokers do, what comes first in a topic comes in order and without a gap', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 25 }),
      fc.array(fc.constantFrom<Fate>('written', 'written', 'written', 'refused', 'late'), {
        minLength: 1,
        maxLength: 30,
      }),
      fc.array(fc.nat(100), { minLength: 5, maxLength: 40 }),
      async (length, fates, turns) => {
        const { topic, confirmed } = await runs(length, [...fates, 'written'], turns);
        let seen = -1;
        for (const place of topic) {
          expect(place).toBeLessThanOrEqual(seen + 1);
          seen = Math.max(seen, place);
        }
        // Nothing is confirmed that is not there.
        expect(seen + 1).toBeGreaterThanOrEqual(confirmed);
      },
    ),
    { numRuns: 150 },
  );
});
