// What runs in the source when a flow begins may have committed already, and be invisible: no copy counts that
// does not see it. But what goes on running has not.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { sleep } from '../core/lifecycle.ts';
import { connect } from '../core/postgres/connect.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';

let pair: Pair;
let sync: RunningSync;

/** Time goes ten times as fast. */
const pause = (ms: number, signal?: AbortSignal): Promise<void> => sleep(ms / 10, signal);

beforeEach(async () => {
  pair = await createPair();
});

afterEach(async () => {
  await sync.stop();
  await pair.close();
});

test('a transaction that outlasts a restart of the flow keeps no table from being copied again', async () => {
  await pair.monolith.query(
    `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', 1 FROM generate_series(1, 5) i`,
  );
  await advanceTo(pair, 'sync');
  sync = startSync(pair, { pause });
  await streaming(pair, 'to');
  await sync.stop();
  const long = await connect(pair.monolithAppUrl, SESSION);
  try {
    await long.query(`BEGIN; INSERT INTO ordl (ord_id, prd_id) SELECT 1, prd_id FROM prd LIMIT 1`);
    sync = startSync(pair, { pause });
    await pair.monolith.query('ALTER TABLE cat ALTER nm TYPE varchar(200)');
    await pair.monolith.query(`INSERT INTO cat VALUES (1, 'new', NULL)`);
    await equal(pair);
    await streaming(pair, 'to');
    const { rows } = await pair.service.query(
      `SELECT 1 FROM banyan.backfill WHERE stage <> 'done' UNION ALL SELECT 1 FROM banyan.reread`,
    );
    expect(rows).toEqual([]);
  } finally {
    await long.query('ROLLBACK');
    await long.end();
  }
});
