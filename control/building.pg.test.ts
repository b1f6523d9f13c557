// A coordinator that stands still in the middle of building or tidying, taken over by one that only tidies:
// woken up later it finishes nothing, and takes nothing away that is not its own.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import pg from 'pg';
import { cases } from '../test/support/long.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import {
  advanceTo,
  leftovers,
  startSync,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';

let pair: Pair;
let sync: RunningSync;

beforeEach(async () => {
  pair = await createPair();
  sync = startSync(pair);
});

afterEach(async () => {
  await sync.stop();
  await pair.close();
});

interface Stop {
  /** Once a statement that matches is about to be sent. */
  readonly reached: Promise<unknown>;
  wake(): void;
  restore(): void;
}

/** Holds back the next statement of this process that matches; those that come after it pass. */
function stopAt(pattern: RegExp): Stop {
  type Query = (...all: unknown[]) => unknown;
  const prototype = pg.Client.prototype as unknown as { query: Query };
  const original = prototype.query;
  const reached = Promise.withResolvers<undefined>();
  const sleeping = Promise.withResolvers<undefined>();
  let isOver = false;
  prototype.query = function (this: unknown, ...all) {
    const [given] = all;
    const text = typeof given === 'string' ? given : (given as { text?: string }).text;
    if (isOver || !pattern.test(text ?? '')) return original.apply(this, all);
    isOver = true;
    reached.resolve(undefined);
    return sleeping.promise.then(() => original.apply(this, all));
  };
  return {
    reached: reached.promise,
    wake: () => {
      sleeping.resolve(undefined);
    },
    restore: () => {
      sleeping.resolve(undefined);
      prototype.query = original;
    },
  };
}

async function loseLease(): Promise<void> {
  await pair.db.raw(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'banyan-lease' AND datname = current_database()`,
  );
}

/** What of the way back is there. */
async function back(): Promise<string[]> {
  return (await leftovers(pair)).filter((one) => one.includes('_back'));
}

const BUILT = [
  ['the publication', /CREATE PUBLICATION/],
  ['the slot', /pg_create_logical_replication_slot/],
  ['the checkpoint', /INSERT INTO banyan.checkpoint/],
] as const;

test.each(cases(BUILT, BUILT[1], BUILT[2]))(
  'one that stood still before %s of sync back, while another tidied up, does not finish it',
  async (_, pattern) => {
    await advanceTo(pair, 'shadow');
    await streaming(pair, 'to');
    const stop = stopAt(pattern);
    try {
      const late = pair
        .coordinator()
        .move({ capability: 'catalog', event: 'advance' })
        .catch((error: unknown) => error);
      await stop.reached;
      await loseLease();
      await pair.coordinator({ who: 'second' }).tidy('catalog');
      expect(await back()).toEqual([]);
      stop.wake();
      expect(await late).toMatchObject({ code: 'STALE_COORDINATOR' });
    } finally {
      stop.restore();
    }
    expect((await pair.store.readOne('catalog')).phase).toBe('shadow');
    expect((await pair.store.journal('catalog')).at(-1)).toMatchObject({
      event: 'recover',
      who: 'second',
    });
    // A slot knows no epoch: one that was just being made is removed by the next who looks.
    await pair.coordinator().tidy('catalog');
    expect(await back()).toEqual([]);
    const { rows } = await pair.monolith.query('SELECT flow FROM banyan.checkpoint');
    expect(rows).toEqual([]);
    await advanceTo(pair, 'canary');
    await streaming(pair, 'back');
  },
  60_000,
);

const TAKEN = [
  ['the publication', /DROP PUBLICATION/],
  ['the checkpoint', /DELETE FROM banyan.checkpoint/],
  ['the fence', /DROP TRIGGER IF EXISTS "banyan_fence_insert" ON .*product/],
] as const;

test.each(cases(TAKEN, TAKEN[0]))(
  'one that stood still before it took %s away leaves what its successor has built since',
  async (_, pattern) => {
    await advanceTo(pair, 'sync');
    await streaming(pair, 'to');
    const stop = stopAt(pattern);
    try {
      const late = pair
        .coordinator()
        .move({ capability: 'catalog', event: 'rollback' })
        .catch((error: unknown) => error);
      await stop.reached;
      await loseLease();
      await advanceTo(pair, 'sync');
      const made = await leftovers(pair);
      stop.wake();
      expect(await late).toBeInstanceOf(Error);
      expect(await leftovers(pair)).toEqual(made);
    } finally {
      stop.restore();
    }
    await streaming(pair, 'to');
  },
  60_000,
);

test('a schema that a coordinator made and did not enter its capability into goes with the next tidying', async () => {
  const stop = stopAt(/INSERT INTO banyan.ownership/);
  try {
    const late = pair
      .coordinator()
      .move({ capability: 'catalog', event: 'advance' })
      .catch((error: unknown) => error);
    await stop.reached;
    await loseLease();
    await pair.coordinator().tidy('catalog');
    expect(await leftovers(pair)).toEqual([]);
    stop.wake();
    expect(await late).toMatchObject({ code: 'STALE_COORDINATOR' });
  } finally {
    stop.restore();
  }
  await pair.coordinator().tidy('catalog');
  expect(await leftovers(pair)).toEqual([]);
}, 60_000);
