// The row that guards every step in a database: where it or the whole schema is gone, and where somebody
// stands still with it locked.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
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

async function open(capability = 'catalog'): Promise<Participant> {
  const logins = pair.connections.monolith.database;
  if (!logins) throw new Error('no logins');
  return Participant.open({
    ...{ capability, side: 'monolith', logins },
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
    expect(performance.now() - began).toBeLessThan(20_000);
    still.resolve(undefined);
    expect(await first).toBeInstanceOf(Error);
    const { rows } = await pair.monolith.query('SELECT epoch FROM banyan.ownership');
    expect(rows).toEqual([{ epoch: '3' }]);
  } finally {
    still.resolve(undefined);
    await second.close();
  }
});

test('a row that somebody else keeps is not waited for for ever, and for a moment only where writers are held', async () => {
  await pair.monolith.query('BEGIN; SELECT FROM banyan.ownership FOR UPDATE');
  expect(await side.fence('service', 2)).toBe(false);
  await expect(side.guarded(2, () => Promise.resolve())).rejects.toMatchObject({
    code: 'TIMED_OUT',
    message: expect.stringContaining('a lock in database'),
  });
  // Nor is it where something is taken away.
  await expect(side.remove(2)).rejects.toMatchObject({
    code: 'TIMED_OUT',
    message: expect.stringContaining('somebody keeps locked what is taken away in database'),
  });
  await pair.monolith.query('COMMIT');
  expect(await side.fence('service', 2)).toBe(true);
});

test('a dump that reads our own tables keeps one capability from leaving, and no other one waiting', async () => {
  const other = await open('other');
  try {
    await other.prepare(1);
    await pair.monolith.query('BEGIN; SELECT count(*) FROM banyan.ownership');
    const leaving = side.remove(1);
    await waitFor(
      async () => {
        const { rows } = await pair.monolith.query(
          `SELECT 1 FROM pg_trigger WHERE tgname LIKE 'banyan_fence%'`,
        );
        return rows.length === 0;
      },
      { timeoutMs: 30_000, what: 'the triggers to be gone' },
    );
    // Each of them would stand behind one that waits for the dump.
    for (let looks = 0; looks < 30; looks++) await other.guarded(1, () => Promise.resolve());
    await pair.monolith.query('COMMIT');
    await leaving;
    expect(await side.present()).toBe(false);
    expect(await other.present()).toBe(true);
  } finally {
    await other.close();
  }
});
