// The source fails over to a standby that has a copy of the slot. What the standby had when it was
// promoted decides: a checkpoint on the part of the WAL that both have in common goes on without loss
// or doubling; one behind it stops the flow, because the target has what the new server lost.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { withClient } from '../core/postgres/connect.ts';
import { withEnds } from '../control/ends.ts';
import { RelayReports } from '../control/relay-reports.ts';
import { BANK, equalBooks, expectExactlyOnce, LEDGER, startBank } from '../test/support/bank.ts';
import { serverUrl } from '../test/support/postgres.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { startProxy, type Proxy } from '../test/support/proxy.ts';
import { ownServer, standbyOf, type OwnServer } from '../test/support/servers.ts';
import {
  advanceTo,
  startSync,
  stopped,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';
import { recopy } from './recopy.ts';
import { databaseOf } from './schemas.ts';

let primary: OwnServer;
let standby: OwnServer;
let proxy: Proxy;
let pair: Pair;
let sync: RunningSync | undefined;
let shop: string;
let catalog: string;

beforeEach(async () => {
  primary = await ownServer();
  await primary.start();
  await ask(primary.url(), `SELECT pg_create_physical_replication_slot('standby', true)`);
  await primary.stop();
  standby = await standbyOf(primary, 'standby');
  await primary.start();
  await standby.start();
  proxy = await startProxy(primary.port);
  pair = await createPair({ ...BANK, servers: { monolith: proxy.through(primary.url()) } });
  [shop, catalog] = [await databaseOf(pair.monolith), await databaseOf(pair.service)];
  await advanceTo(pair, 'sync');
  sync = startSync(pair, { chunkRows: 500 });
  await streaming(pair, 'to');
}, 60_000);

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
  await proxy.close();
  await primary.remove();
  await standby.remove();
});

async function ask<T extends object>(url: string, text: string): Promise<T[]> {
  return withClient(url, SESSION, async (client) => (await client.query<T>(text)).rows);
}

/** Waits until the standby has a copy of the slot that it keeps. */
async function slotIsCopied(): Promise<void> {
  await waitFor(
    async () => {
      // What the primary does every 15 seconds by itself: the slot moves on to where the standby can keep it.
      await ask(primary.url(), 'SELECT pg_log_standby_snapshot()');
      const copied = await ask(
        standby.url(),
        `SELECT 1 FROM pg_replication_slots WHERE slot_name LIKE 'banyan%' AND synced AND NOT temporary`,
      );
      return copied.length === 1;
    },
    { timeoutMs: 45_000, everyMs: 100, what: 'the standby to copy the slot' },
  );
}

async function failOver(): Promise<void> {
  await primary.kill();
  await ask(standby.url(), 'SELECT pg_promote()');
  proxy.lead(standby.port);
}

const timelines = async (): Promise<number[]> =>
  (
    await pair.service.query<{ timeline: number }>('SELECT timeline FROM banyan.checkpoint')
  ).rows.map((row) => row.timeline);

test('a flow goes on at a promoted standby: under load nothing is lost and nothing doubled', async () => {
  await slotIsCopied();
  // What is acknowledged is at the standby, and so is what the flow was sent.
  await ask(primary.url(), `ALTER SYSTEM SET synchronous_standby_names = '*'`);
  await ask(primary.url(), `ALTER SYSTEM SET synchronized_standby_slots = 'standby'`);
  await ask(primary.url(), 'SELECT pg_reload_conf()');
  await pair.service.query(LEDGER);
  const bank = startBank(pair.monolithAppUrl, 3, 1);
  const arrived = async (): Promise<number> =>
    Number((await pair.service.query('SELECT 1 FROM movement')).rowCount);
  await waitFor(async () => (await arrived()) > 500, {
    timeoutMs: 30_000,
    what: 'the load to flow',
  });
  await failOver();
  const before = await arrived();
  await waitFor(async () => (await arrived()) > before + 500, {
    timeoutMs: 30_000,
    what: 'the load to flow from the new server',
  });
  const acknowledged = await bank.stop();
  await equalBooks(standby.url(shop), pair.serviceAppUrl);
  await expectExactlyOnce(serverUrl(catalog), acknowledged);
  expect(await timelines()).toEqual([2]);
}, 120_000);

/** The two ways on: from the beginning, or in place. */
const WAYS_ON = {
  'begun anew': async (): Promise<void> => {
    await pair.coordinator().move({ capability: 'catalog', event: 'rollback' });
    await pair.coordinator().move({ capability: 'catalog', event: 'advance', replaceTarget: true });
  },
  'copied again in place': async (): Promise<void> => {
    const definition = pair.migration.capabilities['catalog'];
    if (!definition) throw new Error('no definition');
    const where = { ...pair.migration, connections: pair.connections };
    const gone = await withEnds(
      where,
      'catalog',
      definition,
      async (ends) => ends && recopy(ends, new RelayReports(pair.db)),
    );
    expect(gone).toEqual(['to']);
  },
};

test.each(['begun anew', 'copied again in place'] as const)(
  'a flow whose checkpoint is behind the switch point stops; %s, the sides are equal',
  async (way) => {
    await slotIsCopied();
    await standby.stop();
    const write = (text: string): Promise<unknown> => ask(pair.monolithAppUrl, text);
    await write(`INSERT INTO hist VALUES (1, 1, 10), (2, 2, 20)`);
    await equalBooks(pair.monolithAppUrl, pair.serviceAppUrl);
    await primary.kill();
    await standby.start();
    await ask(standby.url(), 'SELECT pg_promote()');
    proxy.lead(standby.port);
    // The number 1 is given to another movement there.
    await write(`INSERT INTO hist VALUES (1, 3, 30), (4, 4, 40)`);
    await waitFor(async () => (await stopped(pair, 'to')).code === 'FLOW_STOPPED', {
      timeoutMs: 30_000,
      what: 'the flow to stop',
    });
    expect((await stopped(pair, 'to')).error).toMatch(/promoted at .* lost/);
    expect(await timelines()).toEqual([1]);
    const there = await pair.service.query('SELECT id::int FROM movement ORDER BY 1');
    expect(there.rows).toEqual([{ id: 1 }, { id: 2 }]);

    await WAYS_ON[way]();
    await streaming(pair, 'to');
    await equalBooks(pair.monolithAppUrl, pair.serviceAppUrl);
    // What the new server lost is gone, and what it has instead is there.
    const left = await pair.service.query('SELECT id::int FROM movement ORDER BY 1');
    expect(left.rows).toEqual([{ id: 1 }, { id: 4 }]);
    await write(`INSERT INTO hist VALUES (5, 5, 50)`);
    await equalBooks(pair.monolithAppUrl, pair.serviceAppUrl);
  },
  120_000,
);

test('a flow that finds an older server behind its URL stops', async () => {
  await slotIsCopied();
  await failOver();
  await streaming(pair, 'to');
  expect(await timelines()).toEqual([2]);
  await primary.start();
  proxy.lead(primary.port);
  await waitFor(async () => (await stopped(pair, 'to')).code === 'FLOW_STOPPED', {
    timeoutMs: 30_000,
    what: 'the flow to stop',
  });
  expect((await stopped(pair, 'to')).error).toContain('on timeline 1');
  proxy.lead(standby.port);
  await streaming(pair, 'to');
}, 120_000);
