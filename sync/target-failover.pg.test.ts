// The server of a target fails over to a standby that lacks its last commits. The source was told that
// they are durable, and sends none of them again.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { withClient } from '../core/postgres/connect.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { startProxy, type Proxy } from '../test/support/proxy.ts';
import { ownServer, standbyOf, type OwnServer } from '../test/support/servers.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';
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
      monolith: `CREATE TABLE m (id integer PRIMARY KEY, nm text)`,
      service: `CREATE TABLE s (id integer PRIMARY KEY, nm text)`,
    },
    capability: {
      tables: [{ monolith: 'm', service: 's', key: { id: 'id' }, columns: { nm: 'nm' } }],
    },
  });
  catalog = await databaseOf(pair.service);
  await pair.monolith.query(`INSERT INTO m SELECT i, 'n' FROM generate_series(1, 10) i`);
  await advanceTo(pair, 'sync');
  sync = startSync(pair, { chunkRows: 3 });
  await streaming(pair, 'to');
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

test('what a promoted target lost comes again by a copy', async () => {
  const there = (url: string): Promise<object[]> =>
    ask(url, 'SELECT id, nm FROM s ORDER BY id').catch(() => []);
  await waitFor(async () => (await there(standby.url(catalog))).length === 10, {
    timeoutMs: 30_000,
    what: 'the standby to have the copy',
  });
  await standby.stop();
  await pair.monolith.query(
    `INSERT INTO m VALUES (20, 'late'); UPDATE m SET nm = 'late' WHERE id = 1; DELETE FROM m WHERE id = 2`,
  );
  const source = (): Promise<object[]> =>
    pair.monolith.query<object>('SELECT id, nm FROM m ORDER BY id').then(({ rows }) => rows);
  await waitFor(
    async () =>
      JSON.stringify(await there(primary.url(catalog))) === JSON.stringify(await source()),
    { timeoutMs: 15_000, what: 'the target to have what will be lost' },
  );
  // Also acknowledged to the source, so that it sends none of it again.
  const end = await pair.monolith.query<{ lsn: string }>('SELECT pg_current_wal_lsn() AS lsn');
  await waitFor(
    async () => {
      const { rows } = await pair.monolith.query(
        `SELECT 1 FROM pg_replication_slots WHERE database = current_database() AND confirmed_flush_lsn >= $1`,
        [end.rows[0]?.lsn],
      );
      return rows.length > 0;
    },
    { timeoutMs: 15_000, what: 'the source to hear of it' },
  );
  await primary.kill();
  await standby.start();
  await ask(standby.url(), 'SELECT pg_promote()');
  expect(await there(standby.url(catalog))).not.toEqual(await source());
  proxy.lead(standby.port);
  await equal(pair, async () => ({
    monolith: await source(),
    service: await there(standby.url(catalog)),
  }));
}, 90_000);
