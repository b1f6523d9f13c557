// Partitions that come while a flow runs: what they bring, and what they take along when they go again.
import { afterEach, expect, test } from '@jest/globals';
import { sleep, waitFor } from '../core/lifecycle.ts';
import type { Pair } from '../test/support/pair.ts';
import { alike, partitioned, PARTITIONED, PLAIN, rowsOf } from '../test/support/partitioned.ts';
import {
  advanceTo,
  noteClean,
  startSync,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';

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

test('a partition that came while the flow ran takes its rows along when it goes, or is emptied while none runs', async () => {
  await begin(PARTITIONED, PLAIN);
  await pair.monolith.query(`
    CREATE TABLE ev_4 PARTITION OF ev FOR VALUES FROM (40) TO (50); CREATE TABLE ev_5 PARTITION OF ev FOR VALUES FROM (50) TO (60);
    INSERT INTO ev VALUES (40, 40, 'new'), (50, 50, 'new')`);
  await alike(pair);
  const noted = async (): Promise<number> => {
    const { rows: found } = await pair.service.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM banyan.backfill, jsonb_object_keys(shape -> 'partitions')`,
    );
    return found[0]?.n ?? 0;
  };
  await waitFor(async () => (await noted()) === 6, { timeoutMs: 30_000, what: 'them to be seen' });
  await pair.monolith.query('DROP TABLE ev_4');
  await alike(pair);
  await streaming(pair, 'to');
  await sync?.stop();
  await pair.monolith.query('TRUNCATE ev_5');
  sync = startSync(pair);
  await alike(pair);
});

test('what a partition had before it became one, in the transaction that made it, is copied', async () => {
  await begin(PARTITIONED, PLAIN);
  const before = await rowsOf(pair, 'service', 'id, xmin');
  // Nothing was in this one.
  await pair.monolith.query(`
    BEGIN; CREATE TABLE ev_5 (LIKE ev INCLUDING ALL); ALTER TABLE ev ATTACH PARTITION ev_5 FOR VALUES FROM (50) TO (60);
    INSERT INTO ev VALUES (50, 50, 'after'); COMMIT`);
  await alike(pair);
  await sync?.stop();
  sync = startSync(pair);
  await streaming(pair, 'to');
  expect((await rowsOf(pair, 'service', 'id, xmin')).slice(0, -1)).toEqual(before);
  await pair.monolith.query(`
    BEGIN; CREATE TABLE ev_4 (LIKE ev INCLUDING ALL); INSERT INTO ev_4 VALUES (40, 40, 'before');
    ALTER TABLE ev ATTACH PARTITION ev_4 FOR VALUES FROM (40) TO (50); INSERT INTO ev VALUES (41, 41, 'after'); COMMIT`);
  await alike(pair);
  await streaming(pair, 'to');
});

test('a switch knows of a partition that went just before it', async () => {
  await begin(PARTITIONED, PLAIN);
  await sync?.stop();
  // No look of the flow's own comes in between.
  sync = startSync(pair, { pause: (ms, signal) => sleep(ms === 3_000 ? 600_000 : ms / 3, signal) });
  await advanceTo(pair, 'canary');
  await streaming(pair, 'to');
  await streaming(pair, 'back');
  await noteClean(pair);
  const coordinator = pair.coordinator({
    onStep: async (step) => {
      if (step === 'checked') await pair.monolith.query('DROP TABLE ev_1');
    },
  });
  await expect(coordinator.move({ capability: 'catalog', event: 'advance' })).rejects.toMatchObject(
    {
      code: 'SWITCH_UNDONE',
    },
  );
  await alike(pair);
});
