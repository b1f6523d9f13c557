// Switches under load: writers are never hung by a lock that waits, nothing is lost at 200 writes a
// second, and what is over leaves nothing behind.
import { afterEach, expect, test } from '@jest/globals';
import type pg from 'pg';
import { sleep, waitFor } from '../core/lifecycle.ts';
import { connect, sqlState, withClient } from '../core/postgres/connect.ts';
import { createPair, SESSION, type Pair, type PairOptions } from '../test/support/pair.ts';
import {
  advanceTo,
  equal,
  leftovers,
  logGate,
  startSync,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';
import type { Coordinator } from './coordinator.ts';

let pair: Pair | undefined;
let sync: RunningSync | undefined;

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair?.close();
});

async function start(options: PairOptions = {}, gate = logGate()): Promise<Pair> {
  const made = (pair = await createPair(options));
  await made.monolith.query(
    `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', 1 FROM generate_series(1, 10) i`,
  );
  await advanceTo(made, 'sync');
  sync = startSync(made, { wrapLog: gate.wrap });
  await advanceTo(made, 'canary');
  await streaming(made, 'back');
  await streaming(made, 'to');
  return made;
}

/** A coordinator that finds nobody in the way, and then a transaction begins. */
function whileOpen(own: Pair, long: pg.Client): Coordinator {
  return own.coordinator({
    onStep: async (step) => {
      if (step === 'checked') await long.query('BEGIN; UPDATE prd SET stk = 1 WHERE prd_id = 1');
    },
  });
}

test('a transaction in the way delays the fence, hangs no other writer, and the switch goes through once it ends', async () => {
  const own = await start();
  const long = await connect(own.monolithAppUrl, SESSION);
  const writer = await connect(own.monolithAppUrl, SESSION);
  const told = async (event: string): Promise<number> =>
    (await own.store.journal('catalog')).filter((line) => line.event === event).length;
  try {
    const move = whileOpen(own, long).move({ capability: 'catalog', event: 'advance' });
    let slowest = 0;
    const until = performance.now() + 30_000;
    while ((await told('unhold')) === 0 && performance.now() < until) {
      const began = performance.now();
      await writer.query(`UPDATE prd SET stk = stk + 1 WHERE prd_id = 2`);
      slowest = Math.max(slowest, performance.now() - began);
    }
    await long.query('COMMIT');
    expect(await move).toMatchObject({ to: 'cutover' });
    expect(slowest).toBeLessThan(3_000);
    // Let go, and held again.
    expect(await told('hold')).toBeGreaterThan(1);
    expect((await own.store.readOne('catalog')).holding).toBe(false);
  } finally {
    await long.end();
    await writer.end();
  }
});

test('nothing flips before the applier has passed the barrier', async () => {
  const gate = logGate();
  const own = await start({}, gate);
  const seen: unknown[] = [];
  const coordinator = own.coordinator({
    onStep: async (step) => {
      if (step === 'checked') {
        gate.shut();
        await own.monolith.query(`UPDATE prd SET nm = 'last' WHERE prd_id = 1`);
      }
      if (step === 'fenced') void sleep(400).then(gate.open);
      if (step === 'flipped')
        seen.push((await own.service.query('SELECT name FROM product WHERE id = 1')).rows[0]);
    },
  });
  await coordinator.move({ capability: 'catalog', event: 'advance' });
  expect(seen).toEqual([{ name: 'last' }]);
});

test('a barrier that is not passed in time takes the switch back', async () => {
  const gate = logGate();
  const own = await start({}, gate);
  const coordinator = own.coordinator({
    onStep: (step) => {
      if (step === 'checked') gate.shut();
    },
  });
  await expect(coordinator.move({ capability: 'catalog', event: 'advance' })).rejects.toMatchObject(
    { code: 'SWITCH_UNDONE' },
  );
  await own.monolith.query(`UPDATE prd SET nm = 'still' WHERE prd_id = 1`);
  expect(await own.store.readOne('catalog')).toMatchObject({ phase: 'canary', holding: false });
  gate.open();
  await equal(own);
});

test('a transaction that never ends makes the switch give up, name it, and touch nothing', async () => {
  const own = await start();
  const long = await connect(own.monolithAppUrl, SESSION);
  const writer = await connect(own.monolithAppUrl, SESSION);
  const over = new AbortController();
  let slowest = 0;
  const writing = (async () => {
    while (!over.signal.aborted) {
      const began = performance.now();
      await writer.query('UPDATE prd SET nm = nm, stk = stk + 1 WHERE prd_id = 2');
      slowest = Math.max(slowest, performance.now() - began);
      await sleep(2);
    }
  })();
  try {
    const failed = await whileOpen(own, long)
      .move({ capability: 'catalog', event: 'advance' })
      .catch((error: unknown) => error);
    expect(failed).toMatchObject({ code: 'SWITCH_UNDONE' });
    expect((failed as { hint?: string }).hint).toMatch(
      /In the way: pid \d+ .*SET stk = \? WHERE prd_id = \?/,
    );
    expect(await own.store.readOne('catalog')).toMatchObject({ phase: 'canary', holding: false });
    expect(slowest).toBeLessThan(3_000);
    // Once it is known to stay, it is waited for with nobody held.
    const holds = (await own.store.journal('catalog')).filter(({ event }) => event === 'hold');
    expect(holds.length).toBeLessThan(8);
  } finally {
    over.abort();
    await writing;
    await long.end();
    await writer.end();
  }
});

test('an old transaction on the tables is named before anybody is held, whoever runs it', async () => {
  const own = await start();
  await own.monolith.query(`CREATE ROLE batch_${own.tag} LOGIN PASSWORD 'secret'`);
  await own.monolith.query(`GRANT SELECT, UPDATE ON prd TO batch_${own.tag}`);
  const url = new URL(own.monolithAppUrl);
  url.username = `batch_${own.tag}`;
  const long = await connect(url.href, SESSION);
  try {
    await long.query('BEGIN');
    await long.query(`UPDATE prd SET stk = 1 WHERE prd_id = 1`);
    await waitFor(
      async () =>
        (
          await own.monolith.query(
            `SELECT 1 FROM pg_stat_activity WHERE usename = $1 AND xact_start < clock_timestamp() - interval '2.1 s'`,
            [url.username],
          )
        ).rows.length > 0,
      { timeoutMs: 30_000, what: 'the transaction to be old' },
    );
    const move = own.coordinator().move({ capability: 'catalog', event: 'advance' });
    await expect(move).rejects.toMatchObject({ code: 'SWITCH_UNDONE' });
    await expect(move).rejects.toThrow(
      /pid \d+ \(batch_.*idle in transaction.*UPDATE prd SET stk = \?/,
    );
    const journal = await own.store.journal('catalog');
    expect(journal.map((line) => line.event)).not.toContain('hold');
  } finally {
    await long.end();
    await own.monolith.query(`REVOKE ALL ON prd FROM batch_${own.tag}; DROP ROLE batch_${own.tag}`);
  }
});

test('at 200 writes a second a cutover and a rollback lose none of them', async () => {
  const own = await start();
  const clients = {
    monolith: await connect(own.monolithAppUrl, SESSION),
    service: await connect(own.serviceAppUrl, SESSION),
  };
  const over = new AbortController();
  let acknowledged = 0;
  const writer = (async () => {
    let side: 'monolith' | 'service' = 'monolith';
    for (let due = performance.now(); !over.signal.aborted; due += 5) {
      await sleep(Math.max(0, due - performance.now()));
      for (;;)
        try {
          await clients[side].query(
            side === 'monolith'
              ? `UPDATE prd SET prc = prc + 1 WHERE prd_id = 5`
              : `UPDATE product SET price_cents = price_cents + 100 WHERE id = 5`,
          );
          acknowledged += 1;
          break;
        } catch (error) {
          if (sqlState(error) !== 'BN001') throw error;
          side = side === 'monolith' ? 'service' : 'monolith';
        }
    }
  })();
  const cutover = await own.coordinator().move({ capability: 'catalog', event: 'advance' });
  await streaming(own, 'back');
  const rollback = await own.coordinator().move({ capability: 'catalog', event: 'rollback' });
  await streaming(own, 'to');
  over.abort();
  await writer;
  await equal(own);
  const { rows } = await own.monolith.query('SELECT prc::int AS prc FROM prd WHERE prd_id = 5');
  expect(rows).toEqual([{ prc: 1 + acknowledged }]);
  expect(acknowledged).toBeGreaterThan(100);
  expect(cutover.pauseMs).toBeLessThan(8_000);
  expect(rollback.pauseMs).toBeLessThan(8_000);
  for (const client of Object.values(clients)) await client.end();
});

test('retired with nothing left behind, nobody can write the monolith’s tables and nothing of ours is there', async () => {
  const own = await start({
    schemas: {
      monolith:
        'CREATE TABLE prd (prd_id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, no text, nm text, prc integer)',
      service: 'CREATE TABLE product (id bigint PRIMARY KEY, sku text, name text, price integer)',
    },
    capability: {
      leaves: 'nothing',
      tables: [
        {
          monolith: 'prd',
          service: 'product',
          key: { prd_id: 'id' },
          columns: { no: 'sku', nm: 'name', prc: 'price' },
        },
      ],
    },
  });
  const role = `batch_${own.tag}`;
  await own.monolith.query(`
    CREATE ROLE ${role} LOGIN PASSWORD 'secret'; GRANT SELECT, UPDATE (nm) ON prd TO ${role}`);
  await advanceTo(own, 'retired');
  try {
    const batch = new URL(own.monolithAppUrl);
    batch.username = role;
    for (const url of [own.monolithAppUrl, batch.href])
      await withClient(url, SESSION, async (client) => {
        await expect(client.query(`UPDATE prd SET nm = 'x'`)).rejects.toMatchObject({
          code: '42501',
        });
        expect((await client.query('SELECT prd_id FROM prd')).rows.length).toBe(10);
      });
    expect(await leftovers(own)).toEqual([]);
  } finally {
    await own.monolith.query(`REVOKE ALL ON prd FROM ${role}; DROP ROLE ${role}`);
  }
});
