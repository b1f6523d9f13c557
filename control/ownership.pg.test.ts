// The row that guards every step in a database: where it or the whole schema is gone, and where somebody
// stands still with it locked.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { withClient } from '../core/postgres/connect.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { Participant } from './participant.ts';

let pair: Pair;
let side: Participant;

beforeEach(async () => {
  pair = await createPair();
  side = await open();
  await side.prepare(1);
  await side.fence('monolith', 1);
});

afterEach(async () => {
  await side.close();
  await pair.close();
});

async function open(): Promise<Participant> {
  const logins = pair.connections.monolith.database;
  if (!logins) throw new Error('no logins');
  return Participant.open({
    ...{ capability: 'catalog', side: 'monolith', logins },
    labels: { monolith: 'the monolith', service: 'service "catalog"' },
    tables: pair.migration.capabilities['catalog']?.tables ?? [],
  });
}

const write = (): Promise<unknown> =>
  withClient(pair.monolithAppUrl, SESSION, (client) =>
    client.query(`INSERT INTO cat VALUES (1, 'root') ON CONFLICT DO NOTHING`),
  );

test('a capability that another coordinator has removed from a database is not fenced there, whatever the epoch', async () => {
  await pair.monolith.query(
    `INSERT INTO banyan.ownership (capability, epoch, owns) VALUES ('other', 1, true)`,
  );
  const plan = await side.planned('service');
  await side.remove(1);
  for (const attempt of [
    () => side.fence('service', 99),
    () => side.fenceAs('service', plan, 99),
    () => side.guarded(99, () => Promise.resolve()),
  ])
    await expect(attempt()).rejects.toMatchObject({
      code: 'STALE_COORDINATOR',
      message: expect.stringContaining('has removed capability "catalog"'),
    });
  await write();
  await side.remove(1);
});

test('a schema that somebody has dropped is said to be gone, and is no plan that is out of date', async () => {
  const plan = await side.planned('service');
  await pair.monolith.query('DROP SCHEMA banyan CASCADE');
  for (const attempt of [() => side.fence('service', 2), () => side.fenceAs('service', plan, 2)])
    await expect(attempt()).rejects.toMatchObject({
      code: 'PREFLIGHT_FAILED',
      message: expect.stringContaining('the schema banyan is gone from database'),
      hint: expect.stringContaining('banyan abort catalog'),
    });
});

test('one that stands still in the middle of a transaction keeps neither its successor nor the application waiting for long', async () => {
  const still = Promise.withResolvers<undefined>();
  const reached = Promise.withResolvers<undefined>();
  const first = side
    .guarded(2, async (client) => {
      await client.query('LOCK TABLE cat IN SHARE ROW EXCLUSIVE MODE');
      reached.resolve(undefined);
      await still.promise;
    })
    .catch((error: unknown) => error);
  await reached.promise;
  const second = await open();
  try {
    const began = performance.now();
    await Promise.all([write(), second.guarded(3, () => Promise.resolve())]);
    expect(performance.now() - began).toBeLessThan(8_000);
    still.resolve(undefined);
    expect(await first).toBeInstanceOf(Error);
    const { rows } = await pair.monolith.query('SELECT epoch FROM banyan.ownership');
    expect(rows).toEqual([{ epoch: '3' }]);
  } finally {
    still.resolve(undefined);
    await second.close();
  }
}, 30_000);
