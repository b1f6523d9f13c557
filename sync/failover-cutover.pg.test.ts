// The service's server fails over after a cutover, to a standby that lacks what the monolith has long
// applied. There is no way back to copy anew from: one command goes on in place.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { withClient } from '../core/postgres/connect.ts';
import { withEnds } from '../control/ends.ts';
import { RelayReports } from '../control/relay-reports.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { startProxy, type Proxy } from '../test/support/proxy.ts';
import { ownServer, standbyOf, type OwnServer } from '../test/support/servers.ts';
import {
  advanceTo,
  equal,
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
  pair = await createPair({
    servers: { service: proxy.through(primary.url()) },
    schemas: {
      monolith: `CREATE TABLE m (id integer PRIMARY KEY, kind text NOT NULL, nm text, stk integer NOT NULL DEFAULT 0)`,
      service: `CREATE TABLE s (id integer PRIMARY KEY, nm text, stock integer NOT NULL DEFAULT 0)`,
    },
    capability: {
      tables: [
        {
          ...{ monolith: 'm', service: 's', key: { id: 'id' }, columns: { nm: 'nm' } },
          ...{ stays: { stk: { to: 'stock', default: 0 } }, where: { kind: 'book' } },
        },
      ],
    },
  });
  catalog = await databaseOf(pair.service);
  await pair.monolith.query(
    `INSERT INTO m SELECT i, CASE WHEN i > 8 THEN 'cd' ELSE 'book' END, 'n', i * 10 FROM generate_series(1, 10) i`,
  );
  await advanceTo(pair, 'sync');
  sync = startSync(pair, { chunkRows: 3 });
  await advanceTo(pair, 'cutover');
}, 90_000);

afterEach(async () => {
  await sync?.stop();
  await pair.close();
  await proxy.close();
  await primary.remove();
  await standby.remove();
}, 60_000);

async function ask<T extends object>(url: string, text: string): Promise<T[]> {
  return withClient(url, SESSION, async (client) => (await client.query<T>(text)).rows);
}

test('what the new server lost goes, what it has is copied, and the monolith’s own stays', async () => {
  await waitFor(
    async () => {
      await ask(primary.url(), 'SELECT pg_log_standby_snapshot()');
      const text = `SELECT 1 FROM pg_replication_slots WHERE slot_name LIKE 'banyan%' AND synced AND NOT temporary`;
      return (await ask(standby.url(), text)).length === 1;
    },
    { timeoutMs: 45_000, everyMs: 100, what: 'the standby to copy the slot' },
  );
  await standby.stop();
  await ask(
    primary.url(catalog),
    `INSERT INTO s VALUES (20, 'lost'); UPDATE s SET nm = 'lost' WHERE id = 1; DELETE FROM s WHERE id = 2`,
  );
  const own = async (): Promise<unknown[]> =>
    (await pair.monolith.query<object>('SELECT id, kind, nm, stk FROM m ORDER BY id')).rows;
  await waitFor(async () => JSON.stringify(await own()).includes('"nm":"lost"'), {
    timeoutMs: 15_000,
    what: 'the monolith to have what will be lost',
  });
  await primary.kill();
  await standby.start();
  await ask(standby.url(), 'SELECT pg_promote()');
  proxy.lead(standby.port);
  await ask(
    standby.url(catalog),
    `INSERT INTO s VALUES (30, 'new'); UPDATE s SET nm = 'new' WHERE id = 3`,
  );
  await waitFor(async () => (await stopped(pair, 'back')).code === 'FLOW_STOPPED', {
    timeoutMs: 30_000,
    what: 'the flow to stop',
  });
  expect((await stopped(pair, 'back')).error).toContain('banyan sync recopy');
  const again = async (): Promise<unknown> => {
    const definition = pair.migration.capabilities['catalog'];
    if (!definition) throw new Error('no definition');
    return withEnds(
      { ...pair.migration, connections: pair.connections },
      'catalog',
      definition,
      async (ends) => (ends ? recopy(ends, new RelayReports(pair.db)) : undefined),
    );
  };
  expect(await again()).toEqual(['back']);
  await streaming(pair, 'back');
  await equal(pair, async () => ({
    monolith: (
      await pair.monolith.query<object>(`SELECT id, nm FROM m WHERE kind = 'book' ORDER BY id`)
    ).rows,
    service: await ask(standby.url(catalog), 'SELECT id, nm FROM s ORDER BY id'),
  }));
  expect((await own()).slice(0, 3)).toEqual([
    { id: 1, kind: 'book', nm: 'n', stk: 10 },
    { id: 2, kind: 'book', nm: 'n', stk: 0 },
    { id: 3, kind: 'book', nm: 'new', stk: 30 },
  ]);
  expect((await own()).slice(8)).toEqual([
    { id: 9, kind: 'cd', nm: 'n', stk: 90 },
    { id: 10, kind: 'cd', nm: 'n', stk: 100 },
    { id: 30, kind: 'book', nm: 'new', stk: 0 },
  ]);
  // Nothing is left to be decided.
  expect(await again()).toEqual([]);
  await ask(standby.url(catalog), `UPDATE s SET nm = 'on' WHERE id = 4`);
  await streaming(pair, 'back');
  expect(await own()).toContainEqual({ id: 4, kind: 'book', nm: 'on', stk: 40 });
}, 180_000);
