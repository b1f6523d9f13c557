// A network that drops connections without a word, a server process that stands still: no flow hangs
// for ever, and nothing that merely takes long is taken for it.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { connect, withClient } from '../core/postgres/connect.ts';
import type { Logins } from '../control/connections.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { startProxy, type Proxy } from '../test/support/proxy.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';

const SILENCE_MS = 3_000;

let own: Pair;
let pair: Pair;
let source: Proxy;
let target: Proxy;
let control: Proxy;
let sync: RunningSync | undefined;

beforeAll(async () => {
  own = await createPair();
  const port = Number(new URL(own.monolithAppUrl).port);
  [source, target, control] = [
    await startProxy(port),
    await startProxy(port),
    await startProxy(port),
  ];
  const through = (proxy: Proxy, logins: Logins | undefined): Logins | undefined =>
    logins && {
      ...logins,
      capture: proxy.through(logins.capture),
      applier: proxy.through(logins.applier),
    };
  const { monolith, services } = own.connections;
  const [shop, catalog] = [monolith, services['catalog']];
  if (!catalog) throw new Error('no catalog');
  pair = {
    ...own,
    controlUrl: control.through(own.controlUrl),
    migration: { ...own.migration, sync: { ...own.migration.sync, silenceMs: SILENCE_MS } },
    connections: {
      ...own.connections,
      monolith: { ...shop, database: through(source, shop.database) },
      services: { catalog: { ...catalog, database: through(target, catalog.database) } },
    },
  };
  await own.monolith.query(
    `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', 1 FROM generate_series(1, 20) i`,
  );
  await advanceTo(own, 'sync');
  sync = startSync(pair);
  await streaming(own, 'to');
});

afterAll(async () => {
  await sync?.stop();
  await source.close();
  await target.close();
  await control.close();
  await own.close();
});

const change = (text: string): Promise<unknown> =>
  own.monolith.query(`UPDATE prd SET nm = $1, stk = stk + 1`, [text]);

test('a source whose connections go silent is connected to anew', async () => {
  source.silence();
  await change('silenced');
  await equal(own);
  await streaming(own, 'to');
});

test('a target whose connections go silent is connected to anew, and its old session lets go', async () => {
  target.silence();
  await change('silenced');
  await equal(own);
  await streaming(own, 'to');
});

test('a control database whose connections go silent is connected to anew', async () => {
  control.silence();
  const since = await own.evidence.now();
  await waitFor(
    async () => {
      const [line] = await own.evidence.flows('catalog');
      return new Date(line?.watermark ?? 0) > since;
    },
    { timeoutMs: 45_000, what: 'a watermark taken since to be reported' },
  );
});

test('servers that nothing reaches for a while are found again', async () => {
  source.silence('all');
  target.silence('all');
  await change('unreachable');
  await waitFor(async () => (await own.evidence.flows('catalog'))[0]?.status === 'retrying', {
    timeoutMs: 40_000,
    what: 'the flow to be given up',
  });
  source.restore();
  target.restore();
  await equal(own);
  await streaming(own, 'to');
});

test('a stream whose server process stands still is given up, and goes on when that has gone', async () => {
  // It may just be taken up anew.
  const pid = await waitFor(
    async () => {
      const { rows } = await own.monolith.query<{ pid: number | null }>(
        `SELECT active_pid AS pid FROM pg_replication_slots WHERE database = current_database()`,
      );
      return rows[0]?.pid ?? undefined;
    },
    { timeoutMs: 30_000, what: 'somebody to read the slot' },
  );
  process.kill(pid, 'SIGSTOP');
  try {
    await change('stopped');
    await waitFor(
      async () => (await own.evidence.flows('catalog'))[0]?.errorCode === 'APPLIER_REPLACED',
      { timeoutMs: 30_000, what: 'the flow to find its slot held' },
    );
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await equal(own);
  await streaming(own, 'to');
});

test('a statement that takes longer than any silence is left alone', async () => {
  await own.service.query(`
    CREATE TABLE slow (pid integer);
    CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
      $$ BEGIN PERFORM pg_sleep(${(1.5 * SILENCE_MS) / 1_000}); INSERT INTO public.slow VALUES (pg_backend_pid()); RETURN NULL; END $$;
    CREATE TRIGGER dawdle AFTER UPDATE ON product FOR EACH STATEMENT EXECUTE FUNCTION dawdle()`);
  await change('slowly');
  await equal(own);
  expect((await own.service.query('SELECT 1 FROM slow')).rows).toHaveLength(1);
});

test('a session that waits for a lock is left alone, one whose answer was lost fails', async () => {
  const url = own.connections.services['catalog']?.database?.applier ?? '';
  const blocked = await connect(target.through(url), { ...SESSION, silenceMs: 400 });
  const lost = await connect(target.through(url), { ...SESSION, silenceMs: 400 });
  await withClient(url, SESSION, async (holder) => {
    await holder.query('SELECT pg_advisory_lock(4711)');
    const waits = blocked.query('SELECT pg_advisory_lock(4711)');
    const slow = lost.query('SELECT pg_sleep(0.2)');
    // The first goes on waiting for three times what is allowed to one without an answer.
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    await slow;
    await holder.query('SELECT pg_advisory_unlock(4711)');
    await waits;
  });
  target.silence();
  // Side by side: each is asked after three times in vain, which takes five seconds each.
  await Promise.all(
    [lost, blocked].map((one) => expect(one.query('SELECT 1')).rejects.toThrow('does not answer')),
  );
  await waitFor(
    async () =>
      (
        await own.service.query(
          `SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711`,
        )
      ).rows.length === 0,
    { timeoutMs: 30_000, what: 'the lost session to be ended at the server' },
  );
});
