// The service's server fails over after a cutover, to a standby that lacks what Kafka and the monolith have
// long got. The old server's tail stays in the topics for good; one command goes on behind it.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../../core/lifecycle.ts';
import { withClient } from '../../core/postgres/connect.ts';
import { withEnds } from '../../control/ends.ts';
import { RelayReports } from '../../control/relay-reports.ts';
import { testKafka, type TestKafka } from '../../test/support/kafka.ts';
import { SESSION, type Pair } from '../../test/support/pair.ts';
import { startProxy, type Proxy } from '../../test/support/proxy.ts';
import { relayedPair, startRelay } from '../../test/support/relayed.ts';
import { ownServer, standbyOf, type OwnServer } from '../../test/support/servers.ts';
import {
  advanceTo,
  equal,
  startSync,
  stopped,
  streaming,
  type RunningSync,
} from '../../test/support/sync.ts';
import { recopy } from '../recopy.ts';
import { databaseOf } from '../schemas.ts';

let kafka: TestKafka;
let primary: OwnServer;
let standby: OwnServer;
let proxy: Proxy;
let pair: Pair;
let relay: RunningSync | undefined;
let sync: RunningSync | undefined;
let catalog: string;

beforeAll(async () => {
  kafka = await testKafka();
}, 120_000);

afterAll(async () => {
  await kafka.remove();
});

beforeEach(async () => {
  primary = await ownServer();
  await primary.start();
  await ask(primary.url(), `SELECT pg_create_physical_replication_slot('standby', true)`);
  await primary.stop();
  standby = await standbyOf(primary, 'standby');
  await primary.start();
  await standby.start();
  proxy = await startProxy(primary.port);
  pair = await relayedPair(kafka, {
    servers: { service: proxy.through(primary.url()) },
    schemas: {
      monolith: 'CREATE TABLE m (id integer PRIMARY KEY, nm text)',
      service: 'CREATE TABLE s (id integer PRIMARY KEY, nm text)',
    },
    capability: {
      tables: [{ monolith: 'm', service: 's', key: { id: 'id' }, columns: { nm: 'nm' } }],
    },
  });
  catalog = await databaseOf(pair.service);
  await pair.monolith.query(`INSERT INTO m SELECT i, 'n' FROM generate_series(1, 10) i`);
  relay = startRelay(pair);
  await advanceTo(pair, 'sync');
  sync = startSync(pair, { chunkRows: 3 });
  await advanceTo(pair, 'cutover');
}, 120_000);

afterEach(async () => {
  await sync?.stop();
  await relay?.stop();
  await pair.close();
  await proxy.close();
  await primary.remove();
  await standby.remove();
}, 60_000);

async function ask<T extends object>(url: string, text: string): Promise<T[]> {
  return withClient(url, SESSION, async (client) => (await client.query<T>(text)).rows);
}

test('what the new server lost goes, what it has is copied, and relay and flow go on', async () => {
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
    `INSERT INTO s SELECT i, 'lost' FROM generate_series(100, 400) i; UPDATE s SET nm = 'lost' WHERE id = 1; DELETE FROM s WHERE id = 2`,
  );
  const own = async (): Promise<unknown[]> =>
    (await pair.monolith.query<object>('SELECT id, nm FROM m ORDER BY id')).rows;
  await waitFor(async () => (await own()).length === 310, {
    timeoutMs: 15_000,
    what: 'the monolith to have what will be lost',
  });
  await primary.kill();
  await standby.start();
  await ask(standby.url(), 'SELECT pg_promote()');
  proxy.lead(standby.port);
  await ask(standby.url(catalog), `UPDATE s SET nm = 'new' WHERE id = 3`);
  await waitFor(async () => (await stopped(pair, 'back')).code === 'FLOW_STOPPED', {
    timeoutMs: 30_000,
    what: 'the flow to stop',
  });
  expect((await stopped(pair, 'back')).error).toContain('banyan sync recopy');
  const reports = new RelayReports(pair.db);
  const line = await waitFor(
    async () =>
      (await reports.lines()).find(
        ({ source, status }) => source !== 'monolith' && status === 'stopped',
      ),
    { timeoutMs: 30_000, what: 'the relay to stop' },
  );
  expect(line.errorCode).toBe('FLOW_STOPPED');
  expect(line.error).toContain('banyan sync recopy');
  const again = async (): Promise<unknown> => {
    const definition = pair.migration.capabilities['catalog'];
    if (!definition) throw new Error('no definition');
    return withEnds(
      { ...pair.migration, connections: pair.connections },
      'catalog',
      definition,
      async (ends) => (ends ? recopy(ends, reports) : undefined),
    );
  };
  expect(await again()).toEqual(['back']);
  await streaming(pair, 'back');
  await equal(pair, async () => ({
    monolith: await own(),
    service: await ask(standby.url(catalog), 'SELECT id, nm FROM s ORDER BY id'),
  }));
  expect(await own()).toHaveLength(10);
  expect(await again()).toEqual([]);
  // Begun anew, relay and flow find their place behind the old server's tail again.
  await relay?.stop();
  await sync?.stop();
  relay = startRelay(pair);
  sync = startSync(pair);
  await ask(standby.url(catalog), `UPDATE s SET nm = 'on' WHERE id = 4`);
  await waitFor(async () => JSON.stringify(await own()).includes('{"id":4,"nm":"on"}'), {
    timeoutMs: 30_000,
    what: 'a change of the new server to arrive',
  });
}, 180_000);
