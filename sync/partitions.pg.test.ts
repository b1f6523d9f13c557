// Rows that come and go with a partition of the owner's table, of which the stream says nothing.
import { afterEach, expect, test } from '@jest/globals';
import type { Pair } from '../test/support/pair.ts';
import { alike, partitioned, PARTITIONED, PLAIN, rowsOf } from '../test/support/partitioned.ts';
import { advanceTo, startSync, streaming, type RunningSync } from '../test/support/sync.ts';

let pair: Pair;
let sync: RunningSync | undefined;

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

async function begin(...given: Parameters<typeof partitioned>): Promise<void> {
  pair = await partitioned(...given);
  sync = startSync(pair);
  await streaming(pair, 'to');
}

test('what comes and goes with a partition does so at the other side, and all of it is streamed on', async () => {
  await begin(PARTITIONED, PLAIN);
  await pair.monolith.query('TRUNCATE ev_0');
  await alike(pair);
  await pair.monolith.query(`DROP TABLE ev_1; ALTER TABLE ev DETACH PARTITION ev_2`);
  await alike(pair);
  await pair.monolith.query(`UPDATE ev_2 SET v = 'meanwhile'`);
  await pair.monolith.query('ALTER TABLE ev ATTACH PARTITION ev_2 FOR VALUES FROM (20) TO (30)');
  await alike(pair);
  await streaming(pair, 'to');
  await pair.monolith.query(`UPDATE ev SET v = 'after'; INSERT INTO ev VALUES (5, 5, 'again')`);
  await alike(pair);
});

test('a partition that is made as one has nothing copied again', async () => {
  await begin(PARTITIONED, PLAIN);
  const before = await rowsOf(pair, 'service', 'id, xmin');
  await pair.monolith.query(`
    CREATE TABLE ev_4 PARTITION OF ev FOR VALUES FROM (40) TO (50); INSERT INTO ev VALUES (40, 40, 'new')`);
  await sync?.stop();
  sync = startSync(pair);
  await alike(pair);
  await streaming(pair, 'to');
  expect((await rowsOf(pair, 'service', 'id, xmin')).slice(0, -1)).toEqual(before);
});

test('where the service owns, what went with its partition does not stay at the monolith', async () => {
  await begin(PLAIN, PARTITIONED);
  await advanceTo(pair, 'cutover');
  await streaming(pair, 'back');
  await pair.service.query('DROP TABLE ev_1');
  await alike(pair);
  await streaming(pair, 'back');
  await pair.service.query(`INSERT INTO ev VALUES (1, 25, 'new')`);
  await alike(pair);
});

test('where a truncate is to empty nothing, neither does that of a partition', async () => {
  await begin(PARTITIONED, PLAIN, { truncate: 'stop' });
  await pair.monolith.query(`
    TRUNCATE ev_0; INSERT INTO ev VALUES (100, 1, 'new')`);
  await sync?.stop();
  sync = startSync(pair);
  await streaming(pair, 'to');
  const { rows: counted } = await pair.service.query('SELECT count(*)::int AS n FROM ev');
  expect(counted).toEqual([{ n: 40 }]);
});
