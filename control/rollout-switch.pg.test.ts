// A rollout whose gate turns red after the cutover, on real databases: ownership goes back when the way back
// drains, and stays where it is when it does not.
import { afterEach, expect, test } from '@jest/globals';
import { sleep, waitFor } from '../core/lifecycle.ts';
import { createLogger } from '../core/log.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';
import { createItems } from '../test/support/write-canary.ts';
import { LATENCY_BUCKETS } from './domain/latencies.ts';
import { RolloutDriver } from './rollout-driver.ts';
import { RolloutStore, type RolloutRow } from './rollout-store.ts';
import type { JournalLine } from './store.ts';

let pair: Pair;
let sync: RunningSync;

/** In the cutover, with a way back that streams. */
async function stage(made: Promise<Pair>): Promise<void> {
  pair = await made;
  sync = startSync(pair);
  await advanceTo(pair, 'cutover');
  await streaming(pair, 'back');
}

const BAKING = { bakeMs: 600_000 };

afterEach(async () => {
  await sync.stop();
  await pair.close();
});

/** Drives a rollout that has reached the cutover, while the service fails one read in ten. */
async function driveRed(until?: () => Promise<boolean>): Promise<RolloutRow | undefined> {
  const rollouts = new RolloutStore(pair.db, () => []);
  const state = await pair.store.readOne('catalog');
  const counted = async (path: 'monolith' | 'service', version: number, failed: number) =>
    pair.evidence.addAnswers([
      {
        ...{ capability: 'catalog', route: 'GET /api/products', kind: 'read', path, version },
        ...{ answered: 1_000, failed, latencies: new Array<number>(LATENCY_BUCKETS).fill(0) },
      },
    ]);
  await counted('monolith', state.version - 1, 1);
  await rollouts.begin(state, { who: 'test', why: '' });
  const driver = new RolloutDriver({
    ...{ migration: pair.migration, store: pair.store, evidence: pair.evidence, rollouts },
    ...{ coordinator: pair.coordinator(), who: 'test', holder: 'test', everyMs: 50 },
    log: createLogger({}, 'silent'),
  });
  const over = new AbortController();
  const failing = (async () => {
    while (!over.signal.aborted) {
      await counted('service', state.version, 100);
      await sleep(20, over.signal);
    }
  })();
  const ends = new AbortController();
  const driving = driver.run('catalog', ends.signal);
  if (until) await waitFor(until, { timeoutMs: 60_000, what: 'what is driven to' });
  if (until) ends.abort();
  const row = await driving;
  over.abort();
  await failing;
  return row;
}

test('what the service has written is in the monolith before that owns again', async () => {
  await stage(createPair({ capability: { rollout: BAKING } }));
  await pair.service.query(
    `INSERT INTO product (id, sku, name, price_cents, state) VALUES (900, 'N900', 'new', 100, 'active')`,
  );
  expect(await driveRed()).toMatchObject({ status: 'rolled back', phase: 'canary', weight: 0 });
  const { rows } = await pair.monolith.query<{ no: string }>(
    'SELECT no FROM prd WHERE prd_id = 900',
  );
  expect(rows).toEqual([{ no: 'N900' }]);
  await equal(pair);
});

test('with a way back that does not drain the service stays the owner, and a human is called', async () => {
  await stage(createPair({ capability: { rollout: BAKING } }));
  await sync.stop();
  await pair.service.query(
    `INSERT INTO product (id, sku, name, price_cents, state) VALUES (900, 'N900', 'new', 100, 'active')`,
  );
  const calls = async (): Promise<JournalLine[]> =>
    (await pair.store.journal('catalog')).filter(
      ({ event }) => event === 'rollout way back refused',
    );
  const row = await driveRed(async () => (await calls()).length > 0);
  // It goes on trying, and a human has been called.
  expect(row?.status).toBe('rolling back');
  const [called] = await calls();
  expect(called?.why).toContain('canary errors');
  expect(called?.why).toContain('the way back is refused');
  expect(await pair.store.readOne('catalog')).toMatchObject({ phase: 'cutover', holding: false });
  // Nothing was given up: once sync runs again, so does the way back.
  sync = startSync(pair);
  await streaming(pair, 'back');
  await pair.coordinator().move({ capability: 'catalog', event: 'rollback' });
  await equal(pair);
});

test('traffic that goes back step by step opens no write canary on its way', async () => {
  const rollback = { steps: [80, 40], everyMs: 200 };
  await stage(createItems({ capability: { rollout: { ...BAKING, rollback } } }));
  expect(await driveRed()).toMatchObject({ status: 'rolled back', phase: 'canary', weight: 0 });
  const lines = await pair.store.journal('catalog');
  expect(lines.filter(({ event }) => event === 'rollout step back').map(({ why }) => why)).toEqual([
    'canary 80 %',
    'canary 40 %',
    'canary 0 %',
  ]);
  expect(lines.map(({ event }) => event)).not.toContain('share');
  expect(await pair.store.readOne('catalog')).toMatchObject({ shared: false, holding: false });
});
