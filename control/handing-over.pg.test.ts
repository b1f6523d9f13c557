// What a switch needs behind its flip it has before: whoever is in the way at the new owner is named before
// anybody is held, and takes the switch back where he comes later. What was never closed needs no lock to be
// opened again.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type pg from 'pg';
import { waitFor } from '../core/lifecycle.ts';
import { connect } from '../core/postgres/connect.ts';
import { dieAt, recovered } from '../test/support/coordinators.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { openFor, queuesFor } from '../test/support/queues.ts';
import {
  advanceTo,
  noteClean,
  startSync,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';
import type { Coordinator } from './coordinator.ts';

let pair: Pair;
let sync: RunningSync;
let long: pg.Client;

beforeEach(async () => {
  pair = await createPair();
  await pair.monolith.query(`INSERT INTO prd (no, nm, prc) VALUES ('A', 'a', 1)`);
  sync = startSync(pair);
  long = await connect(pair.monolithAppUrl, SESSION);
});

afterEach(async () => {
  await long.end();
  await sync.stop();
  await pair.close();
});

/** Its writers wait for three seconds at most, where nothing else is said. */
function coordinator(onStep?: (step: string) => Promise<void>, timeoutMs = 3_000): Coordinator {
  const { migration } = pair;
  const facade = {
    ...migration.facade,
    hold: { ...migration.facade.hold, timeoutMs },
  };
  return pair.coordinator({ migration: { ...migration, facade }, ...(onStep && { onStep }) });
}

async function rollBack(by = coordinator()): Promise<unknown> {
  await streaming(pair, 'back');
  return by.move({ capability: 'catalog', event: 'rollback' });
}

/** The service owns, nobody is held, and it may write. */
async function stays(): Promise<void> {
  expect(await pair.store.readOne('catalog')).toMatchObject({ phase: 'cutover', holding: false });
  await pair.service.query(`UPDATE product SET name = name || 's' WHERE sku = 'A'`);
}

/** A staying column: the monolith writes it all along. */
const STOCK = `UPDATE prd SET stk = stk + 1 WHERE no = 'A'`;

test('a long transaction at the new owner is named before anybody is held', async () => {
  await advanceTo(pair, 'cutover');
  const before = (await pair.store.journal('catalog')).length;
  await openFor(long, STOCK, 2_100);
  await expect(rollBack()).rejects.toMatchObject({
    code: 'SWITCH_UNDONE',
    message: expect.stringMatching(/would block.*pid \d+ \(m_\w+_app, .*idle in transaction/),
  });
  await stays();
  const lines = (await pair.store.journal('catalog')).slice(before);
  expect(lines.map(({ event }) => event)).not.toContain('hold');
  await long.query('COMMIT');
  expect(await rollBack(pair.coordinator())).toMatchObject({ to: 'canary' });
});

test('one that begins during the hold takes the switch back: nobody is kept waiting behind the flip', async () => {
  await advanceTo(pair, 'cutover');
  const by = coordinator(async (step) => {
    if (step === 'drained') await long.query(`BEGIN; ${STOCK}`);
  }, 8_000);
  await expect(rollBack(by)).rejects.toMatchObject({
    code: 'SWITCH_UNDONE',
    hint: expect.stringMatching(/pid \d+ .*UPDATE prd SET stk/),
  });
  await stays();
  await long.query('COMMIT');
  expect(await rollBack(pair.coordinator())).toMatchObject({ to: 'canary' });
});

test('interrupted while it waits for the new owner’s tables, it is taken back at once', async () => {
  await advanceTo(pair, 'cutover');
  await streaming(pair, 'back');
  const interrupt = Promise.withResolvers<() => void>();
  let queued: Promise<boolean> | undefined;
  const outcome = pair
    .coordinator({
      interrupts: (then) => {
        interrupt.resolve(then);
        return () => undefined;
      },
      onStep: async (step) => {
        if (step !== 'sequences') return;
        await long.query(`BEGIN; ${STOCK}`);
        queued = queuesFor(pair.monolith, 'prd', 10_000);
      },
    })
    .move({ capability: 'catalog', event: 'rollback' })
    .catch((error: unknown) => error);
  const then = await interrupt.promise;
  await waitFor(() => queued, { timeoutMs: 30_000, what: 'the switch to ask for its locks' });
  const began = performance.now();
  then();
  expect(await outcome).toMatchObject({ code: 'INTERRUPTED' });
  // Its writers would have waited for nine seconds.
  expect(performance.now() - began).toBeLessThan(5_000);
  await stays();
  await long.query('COMMIT');
});

test('a switch that died before it closed anything is taken back without a lock, whoever is at the tables', async () => {
  await advanceTo(pair, 'canary');
  await streaming(pair, 'to');
  await streaming(pair, 'back');
  await noteClean(pair);
  const wake = await dieAt(pair, 'checked', { event: 'advance' });
  await openFor(long, `UPDATE prd SET nm = 'long'`, 1_100);
  const queues = queuesFor(pair.monolith, 'prd', 1_500);
  await recovered(pair);
  expect(await queues).toBe(false);
  expect(await pair.store.readOne('catalog')).toMatchObject({ phase: 'canary', holding: false });
  await long.query('COMMIT');
  expect(await wake()).toMatchObject({ code: 'STALE_COORDINATOR' });
  await pair.monolith.query(`UPDATE prd SET nm = 'the monolith owns'`);
});

test('one that died once the new owner was open is finished without a lock, whoever writes there by then', async () => {
  await advanceTo(pair, 'canary');
  await streaming(pair, 'to');
  await streaming(pair, 'back');
  await noteClean(pair);
  const wake = await dieAt(pair, 'unfenced', { event: 'advance' });
  const batch = await connect(pair.serviceAppUrl, SESSION);
  try {
    await openFor(batch, `UPDATE product SET name = 'long' WHERE sku = 'A'`, 1_100);
    await recovered(pair);
    expect(await pair.store.readOne('catalog')).toMatchObject({ phase: 'cutover', holding: false });
    await batch.query('COMMIT');
  } finally {
    await batch.end();
  }
  await wake();
  await stays();
});
