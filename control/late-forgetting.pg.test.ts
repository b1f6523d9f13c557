// A coordinator that stands still at the very end of a write canary, before it forgets what was kept for
// answers: woken up in the middle of the next one, it forgets nothing of that.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { overtaken, recovered } from '../test/support/coordinators.ts';
import {
  bothStream,
  gatedItems,
  sameItems,
  type GatedItems,
} from '../test/support/write-canary.ts';

let items: GatedItems;

beforeEach(async () => {
  items = await gatedItems();
});

afterEach(() => items.close());

test('rows that are in flight in the next write canary stay so', async () => {
  const { pair, sync } = items;
  const flying = async (): Promise<unknown[]> =>
    (await pair.service.query<object>('SELECT key FROM banyan.flight')).rows;
  let before: unknown[] = [];
  await items.weigh(5);
  await bothStream(pair);
  const late = await overtaken(
    pair,
    /DELETE FROM banyan.flight/,
    { event: 'weight', weight: 0 },
    async () => {
      await recovered(pair);
      await bothStream(pair);
      await items.weigh(5);
      await bothStream(pair);
      sync.gate.shut();
      await pair.service.query(`INSERT INTO article (label) VALUES ('in flight')`);
      before = await flying();
    },
  );
  expect(before).toHaveLength(1);
  expect(late).toMatchObject({ code: 'STALE_COORDINATOR' });
  expect(await flying()).toEqual(before);
  sync.gate.open();
  await sameItems(pair);
});
