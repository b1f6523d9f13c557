// The new owner goes on numbering rows where nobody has numbered any yet, whichever way its numbers go.
import { expect, test } from '@jest/globals';
import { advanceTo, noteClean, startSync } from '../test/support/sync.ts';
import { bothStream, createItems, ITEMS } from '../test/support/write-canary.ts';

test.each([
  ['up', ITEMS.schemas, 40n],
  [
    'down',
    {
      monolith: ITEMS.schemas.monolith.replace('START 2 INCREMENT 2', 'START -2 INCREMENT -2'),
      service: ITEMS.schemas.service.replace('START 1 INCREMENT 2', 'START -1 INCREMENT -2'),
    },
    -40n,
  ],
])('numbers that go %s', async (_, schemas, last) => {
  const pair = await createItems({ schemas, capability: { canary: { writes: false } } });
  const sync = startSync(pair);
  try {
    await advanceTo(pair, 'canary');
    await noteClean(pair);
    await bothStream(pair);
    await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
    const { rows } = await pair.service.query<{ id: string }>(
      `INSERT INTO article (label) VALUES ('new') RETURNING id`,
    );
    const id = BigInt(rows[0]?.id ?? 0);
    // Behind all others, and odd as the service's numbers are.
    expect(last > 0n ? id > last : id < last).toBe(true);
    expect(id % 2n === 0n).toBe(false);
  } finally {
    await sync.stop();
    await pair.close();
  }
});
