// A copy under load, with many shapes of it: `SEEDS=50 npm test -- sync/soak` soaks, `SEED=n` runs
// one of them again.
import { expect, test } from '@jest/globals';
import { randomOf, seeds } from '../test/support/random.ts';
import { seedShop, shopViews, writeLoad } from '../test/support/load.ts';
import { createPair } from '../test/support/pair.ts';
import { equal, startSync, streaming } from '../test/support/sync.ts';

test.each(seeds(4))('after a copy under load both sides are equal (seed %i)', async (seed) => {
  const random = randomOf(seed);
  const pair = await createPair();
  let sync;
  try {
    await seedShop(pair);
    if (random() < 0.5)
      await pair.service.query(`
          INSERT INTO category SELECT i, 'stray', NULL FROM generate_series(20, 50) i;
          INSERT INTO product (id, sku, name, price_cents, state, category_id) SELECT i, 'N' || i + 3, 'stray', 1, 'active', 20 + i % 30 FROM generate_series(100, 250) i`);
    await pair.coordinator().move({ capability: 'catalog', event: 'advance', replaceTarget: true });
    const load = Promise.all([1, 2, 3].map((one) => writeLoad(pair, seed * 10 + one, 120)));
    sync = startSync(pair, { chunkRows: 2 + Math.floor(random() * 12) });
    await load;
    await streaming(pair, 'to');
    await equal(pair, () => shopViews(pair));
    expect((await pair.service.query('SELECT * FROM banyan.reread')).rows).toEqual([]);
  } finally {
    await sync?.stop();
    await pair.close();
  }
});
