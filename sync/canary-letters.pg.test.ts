// Changes of a write canary that the owner could not take, and that somebody gives up.
import { afterEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { appliersOf, letters } from '../test/support/mapped.ts';
import { conflicts, openCanary, settled, type Canary } from '../test/support/sharing.ts';
import { equal } from '../test/support/sync.ts';
import { retryLetters, skipLetter } from './letter-box.ts';

let canary: Canary;

afterEach(async () => {
  await canary.close();
});

test('the service has the owner’s row again once its own change of it is given up', async () => {
  canary = await openCanary();
  const { pair, catalog, shop } = canary;
  const appliers = appliersOf(pair);
  const tables = pair.migration.capabilities['catalog']?.tables;
  await pair.monolith.query('ALTER TABLE prd ADD CONSTRAINT cheap CHECK (prc < 1000)');
  await catalog.query('UPDATE product SET price_cents = 500000 WHERE id IN (1, 2, 3)');
  await catalog.query(`UPDATE product SET name = 'on top' WHERE id = 3`);
  const parked = await letters(pair, 4);
  const prices = async (): Promise<number[]> => {
    const { rows } = await catalog.query<{ price: number }>(
      'SELECT price_cents::int AS price FROM product WHERE id < 4 ORDER BY id',
    );
    return rows.map(({ price }) => price);
  };
  const skip = (id: string): Promise<boolean> =>
    skipLetter(
      'catalog',
      appliers,
      'back',
      parked.find(({ keys }) => keys[0]?.[0] === id)?.id ?? '',
      tables,
    );
  expect(await skip('1')).toBe(true);
  await waitFor(async () => (await prices())[0] === 100, {
    timeoutMs: 30_000,
    what: 'the row to be read again',
  });
  // One that is still parked is as the client left it.
  expect(await prices()).toEqual([100, 500_000, 500_000]);
  // What was made on top of a change that is given up meets the owner's row.
  expect(await skip('3')).toBe(true);
  await pair.monolith.query('ALTER TABLE prd DROP CONSTRAINT cheap');
  await retryLetters('catalog', appliers);
  await settled(pair);
  await equal(pair);
  expect(await prices()).toEqual([100, 500_000, 100]);
  expect(await conflicts(pair)).toMatchObject([{ key: { prd_id: '3' }, verdict: 'owner' }]);
  await shop.query(`UPDATE prd SET nm = 'goes on' WHERE prd_id < 4`);
  await catalog.query(`UPDATE product SET state = 'discontinued' WHERE id < 4`);
  await settled(pair);
  await equal(pair);
});
