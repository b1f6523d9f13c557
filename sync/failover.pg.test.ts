// The source fails over to a standby that has a copy of the slot. What the standby had when it was
// promoted decides: a checkpoint on the part of the WAL that both have in common goes on without loss
// or doubling; one behind it stops the flow, because the target has what the new server lost.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { BANK, equalBooks, expectExactlyOnce, LEDGER, startBank } from '../test/support/bank.ts';
import { ask, openReplicated, recopied, type Replicated } from '../test/support/failover.ts';
import { serverUrl } from '../test/support/postgres.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import {
  advanceTo,
  startSync,
  stopped,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';
import { databaseOf } from './schemas.ts';

let source: Replicated;
let pair: Pair;
let sync: RunningSync | undefined;
let shop: string;
let catalog: string;

beforeEach(async () => {
  source = await openReplicated();
  pair = await createPair({ ...BANK, servers: { monolith: source.url } });
  [shop, catalog] = [await databaseOf(pair.monolith), await databaseOf(pair.service)];
  await advanceTo(pair, 'sync');
  sync = startSync(pair, { chunkRows: 500 });
  await streaming(pair, 'to');
});

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
  await source.remove();
});

const timelines = async (): Promise<number[]> =>
  (
    await pair.service.query<{ timeline: number }>('SELECT timeline FROM banyan.checkpoint')
  ).rows.map((row) => row.timeline);

test('a flow goes on at a promoted standby: under load nothing is lost and nothing doubled', async () => {
  const { primary, standby } = source;
  await source.slotIsCopied();
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
  await source.failOver();
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
    expect(await recopied(pair)).toEqual(['to']);
  },
};

test.each(['begun anew', 'copied again in place'] as const)(
  'a flow whose checkpoint is behind the switch point stops; %s, the sides are equal',
  async (way) => {
    await source.slotIsCopied();
    await source.fallBehind();
    const write = (text: string): Promise<unknown> => ask(pair.monolithAppUrl, text);
    await write(`INSERT INTO hist VALUES (1, 1, 10), (2, 2, 20)`);
    await equalBooks(pair.monolithAppUrl, pair.serviceAppUrl);
    await source.failOver();
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
  const { primary, standby, proxy } = source;
  await source.slotIsCopied();
  await source.failOver();
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
