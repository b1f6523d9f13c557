// Under a write canary the service may keep as several rows what is one of the owner's: what the owner makes
// of a part is not lost when the service does away with the whole.
import { afterEach, expect, test } from '@jest/globals';
import { conflicts, openCanary, settled, type Canary } from '../test/support/sharing.ts';
import { equal } from '../test/support/sync.ts';

let canary: Canary;

afterEach(async () => {
  await canary.close();
});

const text = (id: number): string => `UPDATE prd SET dsc = 'owner' WHERE prd_id = ${id}`;

test.each([
  ['by a cascade', ''],
  ['one by one', 'DELETE FROM product_text WHERE product_id IN (1, 2);'],
])(
  'a row that the service deletes (%s) stands where the owner has changed a part of it',
  async (_, first) => {
    canary = await openCanary();
    const { pair, shop, catalog } = canary;
    await canary.atOnce('shop', {
      shop: text(1),
      catalog: `BEGIN; ${first} DELETE FROM product WHERE id IN (1, 2); COMMIT`,
    });
    const { rows } = await shop.query('SELECT prd_id::int AS id, dsc FROM prd WHERE prd_id < 3');
    expect(rows).toEqual([{ id: 1, dsc: 'owner' }]);
    expect(await conflicts(pair)).toMatchObject([
      { source: 'public.product', operation: 'delete', key: { prd_id: '1' }, verdict: 'owner' },
      {
        source: 'public.product_text',
        operation: 'delete',
        key: { prd_id: '1' },
        verdict: 'owner',
      },
    ]);
    // Whoever deletes it again has seen that.
    await catalog.query('DELETE FROM product WHERE id = 1');
    await settled(pair);
    await equal(pair);
    expect(await canary.names([1])).toEqual([]);
  },
);

test('a row whose key the service changes stays under the old one where the owner has changed a part of it', async () => {
  canary = await openCanary();
  await canary.atOnce('shop', {
    shop: text(3),
    catalog: `BEGIN; DELETE FROM product_text WHERE product_id = 3; UPDATE product SET id = 73 WHERE id = 3;
      INSERT INTO product_text VALUES (73, 'moved'); COMMIT`,
  });
  const { rows } = await canary.shop.query(
    `SELECT prd_id::int AS id, dsc FROM prd WHERE prd_id IN (3, 73)`,
  );
  expect(rows).toEqual([{ id: 3, dsc: 'owner' }]);
});
