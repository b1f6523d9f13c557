// Long transactions in the way of a switch: refused by name, waited for, or ended and told in the record.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type pg from 'pg';
import { waitFor } from '../core/lifecycle.ts';
import { createLogger } from '../core/log.ts';
import { connect } from '../core/postgres/connect.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { advanceTo, startSync, streaming, type RunningSync } from '../test/support/sync.ts';
import { certificates } from './certificates.ts';
import type { BlockerPolicy, MoveResult } from './domain/move.ts';

let pair: Pair;
let sync: RunningSync;
let long: pg.Client;
const said: string[] = [];

beforeEach(async () => {
  said.length = 0;
  pair = await createPair();
  await pair.monolith.query(`INSERT INTO prd (no, nm, prc) VALUES ('A', 'a', 1)`);
  sync = startSync(pair);
  await advanceTo(pair, 'canary');
  await streaming(pair, 'to');
  await streaming(pair, 'back');
  const clean = { rows: 1, missing: 0, extra: 0, different: 0, unsettled: 0, samples: [] };
  await pair.evidence.addVerify({ capability: 'catalog', ...clean });
  long = await connect(pair.monolithAppUrl, SESSION);
});

afterEach(async () => {
  await long.end().catch(() => undefined);
  await sync.stop();
  await pair.close();
});

function advance(blockers?: BlockerPolicy): Promise<MoveResult> {
  const log = createLogger({}, 'silent');
  log.warn = ((_: string, about: { blocker?: string }) => {
    if (about.blocker !== undefined) said.push(about.blocker);
    return log;
  }) as typeof log.warn;
  return pair
    .coordinator({ log })
    .move({ capability: 'catalog', event: 'advance', ...(blockers && { blockers }) });
}

/** A transaction of this session has changed a row, and has been open for longer than is let pass. */
async function openLong(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  await client.query('BEGIN; UPDATE prd SET stk = stk + 1');
  await old(rows[0]?.pid ?? 0);
}

async function old(pid: number): Promise<void> {
  await waitFor(
    async () => {
      const { rows } = await pair.service.query<{ old: boolean }>(
        `SELECT clock_timestamp() - xact_start > '2.1 s' AS old FROM pg_stat_activity WHERE pid = $1`,
        [pid],
      );
      return rows[0]?.old === true;
    },
    { timeoutMs: 30_000, what: 'the transaction to be old' },
  );
}

async function ended(): Promise<unknown> {
  const [last] = (await certificates(pair.db, 'catalog')).slice(-1);
  return last?.steps.find(({ step }) => step === 'checked')?.evidence['ended'];
}

test('it is refused by name where nothing else was asked for, and waited for where that was', async () => {
  await openLong(long);
  await expect(advance()).rejects.toMatchObject({
    message: expect.stringMatching(/pid \d+ .*UPDATE prd SET stk/),
    hint: expect.stringContaining('--blockers wait'),
  });
  await streaming(pair, 'to');
  await streaming(pair, 'back');
  const moving = advance('wait');
  await waitFor(() => said.length > 0, { timeoutMs: 30_000, what: 'it to be named' });
  expect((await pair.store.readOne('catalog')).holding).toBe(false);
  await long.query('COMMIT');
  expect(await moving).toMatchObject({ to: 'cutover' });
  expect(said).toHaveLength(1);
  expect(await ended()).toBeUndefined();
});

test('while it is waited for nothing has begun, and the gates are asked again afterwards', async () => {
  await openLong(long);
  const moving = advance('wait').catch((error: unknown) => error);
  await waitFor(() => said.length > 0, { timeoutMs: 30_000, what: 'it to be named' });
  expect(await pair.db('banyan.switch')).toEqual([]);
  const wrong = { rows: 1, missing: 1, extra: 0, different: 0, unsettled: 0, samples: [] };
  await pair.evidence.addVerify({ capability: 'catalog', ...wrong });
  await long.query('COMMIT');
  expect(await moving).toMatchObject({
    code: 'GATE_REFUSED',
    message: expect.stringContaining('verify'),
  });
  expect(await pair.db('banyan.switch')).toEqual([]);
});

test('while it is waited for reads can go back, by whoever sees that they must', async () => {
  await pair.coordinator().move({ capability: 'catalog', event: 'weight', weight: 50 });
  await openLong(long);
  const moving = advance('wait').catch((error: unknown) => error);
  await waitFor(() => said.length > 0, { timeoutMs: 30_000, what: 'it to be named' });
  const back = await pair
    .coordinator()
    .move({ capability: 'catalog', event: 'rollback', to: 'shadow' });
  expect(back).toMatchObject({ from: 'canary', to: 'shadow' });
  await long.query('COMMIT');
  // What was asked for was decided on another state.
  expect(await moving).toMatchObject({ code: 'MOVE_IN_PROGRESS' });
  expect((await pair.store.readOne('catalog')).phase).toBe('shadow');
});

test('it is ended where that was asked for, whether it runs a statement or none, and the record tells whom', async () => {
  const running = await connect(pair.monolithAppUrl, SESSION);
  await running.query('BEGIN; LOCK TABLE cat IN ROW EXCLUSIVE MODE');
  const cancelled = running.query('SELECT pg_sleep(100)').catch((error: unknown) => error);
  await openLong(long);
  expect(await advance('cancel')).toMatchObject({ to: 'cutover' });
  expect(await cancelled).toMatchObject({ code: '57014' });
  // Its session is as it was, and nothing of its transaction is left.
  await running.query('ROLLBACK');
  await running.end();
  await expect(long.query('COMMIT')).rejects.toThrow();
  expect(await ended()).toEqual(
    expect.arrayContaining([
      expect.stringMatching(/pid \d+ .*pg_sleep/),
      expect.stringMatching(/pid \d+ .*UPDATE prd SET stk/),
    ]),
  );
  const { rows } = await pair.monolith.query('SELECT stk FROM prd');
  expect(rows).toEqual([{ stk: 0 }]);
});

test('whom the coordinator may not end is named, and nobody has been held', async () => {
  await openLong(pair.monolith);
  await expect(advance('cancel')).rejects.toMatchObject({
    code: 'SWITCH_UNDONE',
    hint: expect.stringContaining('pg_signal_backend'),
  });
  await pair.monolith.query('ROLLBACK');
  expect(await pair.store.readOne('catalog')).toMatchObject({ phase: 'canary', holding: false });
  const events = (await pair.store.journal('catalog')).map(({ event }) => event);
  expect(events).not.toContain('hold');
});
