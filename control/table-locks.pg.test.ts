// Locks on a team's tables: nobody stands behind a request of ours for long, however many tables there are and
// whoever is at them.
import { afterEach, expect, test } from '@jest/globals';
import type pg from 'pg';
import { sleep, waitFor } from '../core/lifecycle.ts';
import { connect } from '../core/postgres/connect.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { openFor, queuesFor } from '../test/support/queues.ts';
import { advanceTo, leftovers, startSync, type RunningSync } from '../test/support/sync.ts';
import { bothStream, createItems } from '../test/support/write-canary.ts';
import { Participant } from './participant.ts';

let pair: Pair | undefined;
let sync: RunningSync | undefined;
const sessions: pg.Client[] = [];

afterEach(async () => {
  for (const session of sessions.splice(0)) await session.end();
  await sync?.stop();
  sync = undefined;
  await pair?.close();
  pair = undefined;
});

async function session(own: Pair, url = own.monolithAppUrl): Promise<pg.Client> {
  const one = await connect(url, SESSION);
  sessions.push(one);
  return one;
}

test('the locks of all tables are asked for in one short time, not for each table anew', async () => {
  // In the order in which they are locked.
  const names = ['t1', 't2', 't3', 't4', 't5', 't6', 't7', 't8'];
  const schema = names
    .map((name) => `CREATE TABLE ${name} (id integer PRIMARY KEY, v text)`)
    .join(';');
  const own = (pair = await createPair({
    schemas: { monolith: schema, service: schema },
    capability: {
      tables: names.map((name) => ({
        ...{ monolith: name, service: name, key: { id: 'id' }, columns: { v: 'v' } },
      })),
    },
  }));
  const { catalog } = own.migration.capabilities;
  const logins = own.connections.monolith.database;
  if (!logins || !catalog) throw new Error('the pair has a monolith');
  const side = await Participant.open({
    ...{ capability: 'catalog', side: 'monolith', logins, tables: catalog.tables },
    labels: { monolith: 'the monolith', service: 'service "catalog"' },
  });
  try {
    await side.prepare(1);
    const writers: pg.Client[] = [];
    for (const name of names) {
      const writer = await session(own);
      await writer.query(`BEGIN; INSERT INTO ${name} VALUES (1, 'v')`);
      writers.push(writer);
    }
    // Each lets go of its table in time for the lock of that one.
    const fencing = side.fence('service', 1);
    let isOver = false;
    void fencing.finally(() => (isOver = true));
    const waits = `SELECT 1 FROM pg_locks WHERE relation = 't1'::regclass AND NOT granted`;
    const leaving = (async () => {
      await waitFor(async () => isOver || (await own.monolith.query(waits)).rows.length > 0, {
        ...{ timeoutMs: 30_000, everyMs: 5, what: 'it to wait for the first' },
      });
      for (const writer of writers) {
        await sleep(75);
        await writer.query('COMMIT');
      }
    })();
    expect(await fencing).toBe(false);
    await leaving;
    expect(await side.fence('service', 1)).toBe(true);
  } finally {
    await side.close();
  }
});

test('nobody queues up behind a removal while somebody reads who stays', async () => {
  const own = (pair = await createPair());
  await advanceTo(own, 'sync');
  // The side that is fenced.
  const dump = await session(own, own.serviceAppUrl);
  await openFor(dump, 'SELECT count(*) FROM product', 1_100);
  const aborting = own.coordinator().abort({ capability: 'catalog' });
  await waitFor(async () => !(await leftovers(own)).some((one) => one.startsWith('publication')), {
    ...{ timeoutMs: 30_000, what: 'the removal to come to the tables' },
  });
  expect(await queuesFor(own.service, 'product', 1_500)).toBe(false);
  await dump.query('COMMIT');
  await aborting;
  expect(await leftovers(own)).toEqual([]);
});

test('nobody queues up behind the way into a write canary while somebody writes who stays', async () => {
  const own = (pair = await createItems());
  sync = startSync(own);
  await advanceTo(own, 'canary');
  await bothStream(own);
  const batch = await session(own);
  await openFor(batch, 'UPDATE item SET n = n + 1', 1_100);
  const entering = own.coordinator().move({ capability: 'catalog', event: 'weight', weight: 5 });
  await waitFor(
    async () => (await own.db('banyan.switch_step').where('step', 'checked')).length > 0,
    { timeoutMs: 30_000, what: 'the way in to begin' },
  );
  expect(await queuesFor(own.monolith, 'item', 1_500)).toBe(false);
  await batch.query('COMMIT');
  await entering;
  expect(await own.store.readOne('catalog')).toMatchObject({ shared: true, weight: 5 });
});
