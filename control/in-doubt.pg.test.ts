// A commit of the control database whose answer is lost on the way, and which comes to pass only later: until it
// has, nobody knows whether the switch has flipped, and nothing is opened that would be wrong if it has.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Knex } from 'knex';
import type pg from 'pg';
import { waitFor } from '../core/lifecycle.ts';
import { connect } from '../core/postgres/connect.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { startProxy, type Proxy } from '../test/support/proxy.ts';
import {
  advanceTo,
  noteClean,
  startSync,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';
import { openControl } from './store.ts';

let pair: Pair;
let sync: RunningSync;
let shop: pg.Client;
let catalog: pg.Client;
let gate: pg.Client;
let proxy: Proxy;
let db: Knex;

const KEY = 4711;

beforeEach(async () => {
  pair = await createPair();
  sync = startSync(pair);
  shop = await connect(pair.monolithAppUrl, SESSION);
  catalog = await connect(pair.serviceAppUrl, SESSION);
  gate = await connect(pair.controlUrl, SESSION);
  proxy = await startProxy(port());
  db = openControl(proxy.through(pair.controlUrl));
  await pair.monolith.query(`INSERT INTO prd (no, nm, prc) VALUES ('A', 'a', 1)`);
  await advanceTo(pair, 'canary');
  await streaming(pair, 'to');
  await streaming(pair, 'back');
  await noteClean(pair);
});

afterEach(async () => {
  await gate.end();
  await db.destroy();
  await proxy.close();
  await shop.end();
  await catalog.end();
  await sync.stop();
  await pair.close();
});

function port(): number {
  return Number(new URL(pair.controlUrl).port);
}

/** From now on a commit that changes the state like this waits until `gate` lets it go. */
async function delayCommits(changed: string): Promise<void> {
  await gate.query(`
    CREATE FUNCTION public.wait() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_advisory_xact_lock_shared(${KEY}); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER wait AFTER UPDATE ON banyan.capability DEFERRABLE INITIALLY DEFERRED
      FOR EACH ROW WHEN (${changed}) EXECUTE FUNCTION public.wait();
    SELECT pg_advisory_lock(${KEY})`);
}

/** Until so many sessions of the control database wait for a lock. */
async function waiting(sessions: number): Promise<void> {
  await waitFor(
    async () => {
      const { rows } = await gate.query<{ count: number }>(
        `SELECT count(*)::int AS count FROM pg_stat_activity
          WHERE datname = current_database() AND application_name = 'banyan-control' AND wait_event_type = 'Lock'`,
      );
      return (rows[0]?.count ?? 0) >= sessions;
    },
    { timeoutMs: 30_000, what: `${sessions} sessions to wait` },
  );
}

const WRITES = {
  monolith: () => shop.query(`UPDATE prd SET nm = nm || 'm' WHERE no = 'A'`),
  service: () => catalog.query(`UPDATE product SET name = name || 's' WHERE sku = 'A'`),
};

test('a flip whose answer is lost before it is committed counts, and until then neither side opens', async () => {
  await delayCommits(`NEW.phase = 'cutover' AND OLD.phase <> 'cutover'`);
  const outcome = pair
    .coordinator({ db })
    .move({ capability: 'catalog', event: 'advance' })
    .catch((error: unknown) => error);
  await waiting(1);
  // Its session at the server goes on, and knows nothing of that.
  proxy.lead(port());
  await waiting(2);
  expect(await pair.store.readOne('catalog')).toMatchObject({ phase: 'canary', holding: true });
  await expect(WRITES.monolith()).rejects.toMatchObject({ code: 'BN001' });
  await expect(WRITES.service()).rejects.toMatchObject({ code: 'BN001' });
  await gate.query(`SELECT pg_advisory_unlock(${KEY})`);
  expect(await outcome).toMatchObject({ from: 'canary', to: 'cutover' });
  expect(await pair.store.readOne('catalog')).toMatchObject({ phase: 'cutover', holding: false });
  await expect(WRITES.monolith()).rejects.toMatchObject({ code: 'BN001' });
  await WRITES.service();
});

test('a flip that takes longer than a session of the new owner may stand still is finished by the command itself', async () => {
  await delayCommits(`NEW.phase = 'cutover' AND OLD.phase <> 'cutover'`);
  const outcome = pair
    .coordinator()
    .move({ capability: 'catalog', event: 'advance' })
    .catch((error: unknown) => error);
  await waiting(1);
  await waitFor(
    async () => {
      const { rows } = await pair.service.query(
        `SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
            AND application_name = 'banyan-coordinator' AND state LIKE 'idle in transaction%'`,
      );
      return rows.length === 0;
    },
    { timeoutMs: 30_000, what: 'the server to end that session' },
  );
  await gate.query(`SELECT pg_advisory_unlock(${KEY})`);
  expect(await outcome).toMatchObject({ from: 'canary', to: 'cutover' });
  expect(await pair.store.readOne('catalog')).toMatchObject({ phase: 'cutover', holding: false });
  await expect(WRITES.monolith()).rejects.toMatchObject({ code: 'BN001' });
  await WRITES.service();
});

test('a hold whose answer is lost before it is committed is released all the same', async () => {
  await delayCommits('NEW.holding AND NOT OLD.holding');
  const outcome = pair
    .coordinator({ db })
    .move({ capability: 'catalog', event: 'advance' })
    .catch((error: unknown) => error);
  await waiting(1);
  proxy.lead(port());
  await waiting(2);
  await gate.query(`SELECT pg_advisory_unlock(${KEY})`);
  expect(await outcome).toMatchObject({ code: 'SWITCH_UNDONE' });
  expect(await pair.store.readOne('catalog')).toMatchObject({ phase: 'canary', holding: false });
  await WRITES.monolith();
});
