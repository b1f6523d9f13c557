// A coordinator that stands still in the middle of building or tidying, taken over by one that only tidies:
// woken up later it finishes nothing, and takes nothing away that is not its own.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { overtaken } from '../test/support/coordinators.ts';
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
    const late = await overtaken(pair, pattern, { event: 'advance' }, async () => {
      await pair.coordinator({ who: 'second' }).tidy('catalog');
      expect(await back()).toEqual([]);
    });
    expect(late).toMatchObject({ code: 'STALE_COORDINATOR' });
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
    let made: string[] = [];
    const late = await overtaken(pair, pattern, { event: 'rollback' }, async () => {
      await advanceTo(pair, 'sync');
      made = await leftovers(pair);
    });
    expect(late).toBeInstanceOf(Error);
    expect(await leftovers(pair)).toEqual(made);
    await streaming(pair, 'to');
  },
);

test('a schema that a coordinator made and did not enter its capability into goes with the next tidying', async () => {
  const entering = /INSERT INTO banyan.ownership/;
  const late = await overtaken(pair, entering, { event: 'advance' }, async () => {
    await pair.coordinator().tidy('catalog');
    expect(await leftovers(pair)).toEqual([]);
  });
  expect(late).toMatchObject({ code: 'STALE_COORDINATOR' });
  await pair.coordinator().tidy('catalog');
  expect(await leftovers(pair)).toEqual([]);
});
