// The service's server fails over after a cutover, to a standby that lacks what Kafka and the monolith have
// long got. The old server's tail stays in the topics for good; one command goes on behind it.
import { afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../../core/lifecycle.ts';
import { RelayReports } from '../../control/relay-reports.ts';
import { ask, openReplicated, recopied, type Replicated } from '../../test/support/failover.ts';
import { sharedKafka, type SharedKafka } from '../../test/support/kafka.ts';
import type { Pair } from '../../test/support/pair.ts';
import { relayedPair, startRelay } from '../../test/support/relayed.ts';
import {
  advanceTo,
  equal,
  startSync,
  stopped,
  streaming,
  type RunningSync,
} from '../../test/support/sync.ts';
import { databaseOf } from '../schemas.ts';

let kafka: SharedKafka;
let target: Replicated;
let pair: Pair;
let relay: RunningSync | undefined;
let sync: RunningSync | undefined;
let catalog: string;

beforeAll(async () => {
  kafka = await sharedKafka();
}, 120_000);

beforeEach(async () => {
  target = await openReplicated();
  pair = await relayedPair(kafka, {
    servers: { service: target.url },
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
  await target.remove();
});

test('what the new server lost goes, what it has is copied, and relay and flow go on', async () => {
  const { primary, standby } = target;
  await target.slotIsCopied();
  await target.fallBehind();
  await ask(
    primary.url(catalog),
    `INSERT INTO s SELECT i, 'lost' FROM generate_series(100, 400) i; UPDATE s SET nm = 'lost' WHERE id = 1; DELETE FROM s WHERE id = 2`,
  );
  const own = async (): Promise<unknown[]> =>
    (await pair.monolith.query<object>('SELECT id, nm FROM m ORDER BY id')).rows;
  await waitFor(async () => (await own()).length === 310, {
    timeoutMs: 30_000,
    what: 'the monolith to have what will be lost',
  });
  await target.failOver();
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
  expect(await recopied(pair)).toEqual(['back']);
  await streaming(pair, 'back');
  await equal(pair, async () => ({
    monolith: await own(),
    service: await ask(standby.url(catalog), 'SELECT id, nm FROM s ORDER BY id'),
  }));
  expect(await own()).toHaveLength(10);
  expect(await recopied(pair)).toEqual([]);
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
