// A relay between a real PostgreSQL and brokers that do whatever is needed: requests that fail in the
// middle, with and without having been written, brokers that stand still, networks that are cut, leases.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { waitFor } from '../../core/lifecycle.ts';
import { parseLsn } from '../../core/postgres/lsn.ts';
import type { Participant } from '../../control/participant.ts';
import { RelayTerms } from '../../control/relay-terms.ts';
import { openControl } from '../../control/store.ts';
import {
  Brokers,
  counted,
  countedRelay,
  holds,
  idleIn,
  script,
  upTo,
  type Answer,
  type CountedRelay,
} from '../../test/support/counted-relay.ts';
import type { Pair } from '../../test/support/pair.ts';
import { startProxy, type Proxy } from '../../test/support/proxy.ts';

let relay: CountedRelay;
let pair: Pair;
let source: Participant;

beforeEach(async () => {
  relay = await countedRelay();
  ({ pair, source } = relay);
});

afterEach(async () => {
  await relay.close();
});

const start: CountedRelay['start'] = (...given) => relay.start(...given);
const count: CountedRelay['count'] = (times) => relay.count(times);
const confirmed: CountedRelay['confirmed'] = () => relay.confirmed();

test.each(['refused', 'lost'] as const)(
  'a request that is %s is never overtaken, and what comes after it waits for the next run',
  async (fate) => {
    const brokers = new Brokers((request) => (request % 4 === 0 ? fate : 'written'));
    const counting = count(50);
    for (let run = 0; counted(brokers.topic).at(-1) !== 50; run++) {
      if (run > 200) throw new Error('it does not come to its end');
      const relay = start(brokers);
      await Promise.race([
        relay.ended.then((error) => {
          expect(error).toMatchObject({ message: fate });
        }),
        holds(brokers, 50),
      ]);
      await relay.end();
    }
    await counting;
    expect(counted(brokers.topic)).toEqual(upTo(50));
  },
);

test('what lies before a change that cannot be written down is with the brokers when the relay ends', async () => {
  const slow = Promise.withResolvers<undefined>();
  const brokers = new Brokers((request) => (request === 1 ? slow.promise : 'written'));
  const reached = Promise.withResolvers<undefined>();
  await count(5);
  let given = 0;
  const relay = start(brokers, {
    script: () =>
      Promise.resolve({
        ...script,
        write: async (piece, isWritten) => {
          given += 1;
          // What comes behind the first request waits.
          if (given === 2)
            await waitFor(() => brokers.requests === 1, { timeoutMs: 30_000, what: 'a request' });
          if (given < 4) return script.write(piece, isWritten);
          reached.resolve(undefined);
          throw new Error('unwritable');
        },
      }),
  });
  await reached.promise;
  // It has failed by now, and the first request has not been answered.
  await nextTurn();
  slow.resolve(undefined);
  expect(await relay.ended).toMatchObject({ message: 'unwritable' });
  expect(counted(brokers.topic)).toEqual(upTo(3));
});

test.each([
  ['written', true, upTo(2)],
  ['refused', false, [1]],
] as const)(
  'what a script sends by itself waits until all before it is %s',
  async (fate, expected, there) => {
    const slow = Promise.withResolvers<Answer>();
    const brokers = new Brokers((request) => (request === 1 ? 'written' : slow.promise));
    const [asked, answered] = [
      Promise.withResolvers<undefined>(),
      Promise.withResolvers<boolean>(),
    ];
    const counting = count(1);
    let given = 0;
    const relay = start(brokers, {
      script: () =>
        Promise.resolve({
          ...script,
          write: async (piece, isWritten) => {
            given += 1;
            if (given === 3) {
              asked.resolve(undefined);
              answered.resolve(await isWritten());
            }
            return script.write(piece, isWritten);
          },
        }),
    });
    await counting;
    await holds(brokers, 1);
    await count(1);
    await waitFor(() => brokers.requests === 2, { timeoutMs: 30_000, what: 'a request' });
    await count(1);
    await asked.promise;
    let early: boolean | undefined;
    void answered.promise.then((is) => (early = is));
    await nextTurn();
    const before = early;
    slow.resolve(fate);
    expect(before).toBeUndefined();
    expect(await answered.promise).toBe(expected);
    expect(counted(brokers.topic).slice(0, there.length)).toEqual(there);
    await relay.end();
  },
);

test('while the brokers say nothing the source is told nothing, and little is in memory', async () => {
  const silent = Promise.withResolvers<undefined>();
  const brokers = new Brokers((request) => (request === 1 ? silent.promise : 'written'));
  let given = 0;
  const relay = start(brokers, {
    limitBytes: 50_000,
    script: () =>
      Promise.resolve({
        ...script,
        write: (piece, isWritten) => {
          given += 1;
          return script.write(piece, isWritten);
        },
      }),
  });
  const before = await confirmed();
  await count(1);
  await waitFor(() => brokers.requests === 1, { timeoutMs: 30_000, what: 'a request' });
  await pair.monolith.query(
    `DO $$ BEGIN FOR i IN 1..2000 LOOP UPDATE prd SET stk = stk + 1 WHERE prd_id = 1; COMMIT; END LOOP; END $$`,
  );
  await waitFor(() => relay.reports.length > 3, { timeoutMs: 30_000, what: 'reports' });
  expect(await confirmed()).toBe(before);
  expect(given).toBeLessThan(500);
  expect(relay.reports.at(-1)).toMatchObject({ position: undefined, behindMs: undefined });
  silent.resolve(undefined);
  await holds(brokers, 2_001);
  expect(counted(brokers.topic)).toEqual(upTo(2_001));
  await waitFor(async () => (await confirmed()) !== before, {
    timeoutMs: 30_000,
    what: 'the source to be told',
  });
  await waitFor(() => relay.reports.at(-1)?.behindMs === 0, {
    timeoutMs: 30_000,
    what: 'the report that all is there',
  });
});

test('of WAL that has nothing for it a relay confirms no more than a record says', async () => {
  const silent = Promise.withResolvers<undefined>();
  let isSilent = false;
  const brokers = new Brokers(undefined, () => (isSilent ? silent.promise : 'written'));
  const working = start(brokers);
  const idles = (): Promise<unknown> =>
    pair.monolith.query('CREATE TABLE not_ours AS SELECT generate_series(1, 1000) AS i');
  const endOf = async (): Promise<bigint> => {
    const { rows } = await pair.monolith.query<{ at: string }>('SELECT pg_current_wal_lsn() AS at');
    return parseLsn(rows[0]?.at ?? '');
  };
  await idles();
  const end = await endOf();
  await waitFor(
    async () => {
      // Never further than what is written by then.
      const lsn = parseLsn(await confirmed());
      return lsn >= end && idleIn(brokers) >= lsn;
    },
    { timeoutMs: 30_000, what: 'the idle WAL to be written, and confirmed' },
  );
  isSilent = true;
  const said = idleIn(brokers);
  const asked = brokers.beats;
  await pair.monolith.query('DROP TABLE not_ours');
  await idles();
  await waitFor(() => brokers.beats > asked, { timeoutMs: 30_000, what: 'it to be offered' });
  const { reports } = working;
  const [since, before] = [reports.length, await confirmed()];
  await waitFor(() => reports.length > since + 3, { timeoutMs: 30_000, what: 'reports' });
  expect(await confirmed()).toBe(before);
  expect(parseLsn(before)).toBeLessThanOrEqual(said);
  silent.resolve(undefined);
});

test('a relay that is cut off is taken over from within ten seconds, and what it still writes harms nobody', async () => {
  const port = Number(new URL(source.logins.capture).port);
  const proxies: Proxy[] = [await startProxy(port), await startProxy(port)];
  const [toSource, toControl] = proxies as [Proxy, Proxy];
  const db = openControl(toControl.through(pair.controlUrl));
  try {
    // What the zombie has asked for before it was cut off is answered after the other one has begun.
    const late = Promise.withResolvers<undefined>();
    const brokers = new Brokers((request) => (request === 2 ? late.promise : 'written'));
    const zombie = start(brokers, {
      url: toSource.through(source.logins.capture),
      terms: new RelayTerms(db),
    });
    await count(1);
    await holds(brokers, 1);
    await waitFor(async () => (await new RelayTerms(pair.db).latest('monolith')) !== undefined, {
      timeoutMs: 30_000,
      what: 'the lease to be taken',
    });
    await count(5);
    await waitFor(() => brokers.requests === 2, { timeoutMs: 30_000, what: 'a request' });
    for (const proxy of proxies) proxy.silence();
    start(brokers);
    await count(5);
    await holds(brokers, 11, 30_000);
    late.resolve(undefined);
    await waitFor(() => brokers.topic.length > 11, {
      timeoutMs: 30_000,
      what: 'the zombie to write',
    });
    await zombie.end();
    await count(5);
    await holds(brokers, 16);
    expect(counted(brokers.topic)).toEqual(upTo(16));
    expect(brokers.topic.length).toBeGreaterThan(16);
  } finally {
    await db.destroy();
    for (const proxy of proxies) await proxy.close();
  }
});

test('a relay that has the slot and renews its lease is left alone, without the control database too', async () => {
  const proxy = await startProxy(Number(new URL(source.logins.capture).port));
  const db = openControl(proxy.through(pair.controlUrl));
  try {
    const brokers = new Brokers();
    const first = start(brokers, { terms: new RelayTerms(db) });
    await waitFor(first.isWorking, { timeoutMs: 30_000, what: 'the first to work' });
    let looks = 0;
    // The second knows of leases no more than the first can renew its own.
    const second = start(brokers, {
      terms: new RelayTerms(db),
      onStandby: () => {
        looks += 1;
        return Promise.resolve();
      },
    });
    await waitFor(() => looks > 12, { timeoutMs: 30_000, what: 'the second to have looked often' });
    await proxy.close();
    const since = looks;
    await waitFor(() => looks > since + 12, { timeoutMs: 30_000, what: 'it to look on' });
    expect(second.isWorking()).toBe(false);
    await count(3);
    await holds(brokers, 3);
    await first.end();
    await waitFor(second.isWorking, { timeoutMs: 30_000, what: 'the second to work' });
  } finally {
    await db.destroy();
    await proxy.close().catch(() => undefined);
  }
});
