// What runs in the source when a flow begins may have committed already, and be invisible: no copy counts that
// does not see it. But what goes on running has not, and is waited for only where the stream lacks some of it.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { sleep, waitFor } from '../core/lifecycle.ts';
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

const PUBLISHED = `SET (publish = 'insert, update, delete, truncate')`;

test.each([
  ['publication left updates out for a while', true, `SET (publish = 'insert')`, PUBLISHED],
  [
    'table was out of the publication before its first copy',
    false,
    'DROP TABLE prd',
    'ADD TABLE prd',
  ],
])(
  'what a transaction changed while its %s is copied once that has ended',
  async (_, isCopied, narrow, widen) => {
    await pair.monolith.query(
      `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', 1 FROM generate_series(1, 20) i`,
    );
    await advanceTo(pair, 'sync');
    if (isCopied) {
      sync = startSync(pair, { pause });
      await streaming(pair, 'to');
      await sync.stop();
    }
    await pair.monolith.query(`ALTER PUBLICATION banyan_catalog_to ${narrow}`);
    const long = await connect(pair.monolithAppUrl, SESSION);
    try {
      await long.query(`BEGIN; UPDATE prd SET nm = 'not sent' WHERE prd_id = 1`);
      await pair.monolith.query(`ALTER PUBLICATION banyan_catalog_to ${widen}`);
      const since = await pair.evidence.now();
      sync = startSync(pair, { pause });
      const status = await waitFor(
        async () => {
          const [line] = await pair.evidence.flows('catalog');
          if (line?.status === 'copy waits') return line.status;
          return line?.watermark && new Date(line.watermark) >= since ? line.status : undefined;
        },
        { timeoutMs: 60_000, what: 'the copy to wait, or to be complete' },
      );
      await long.query('COMMIT');
      await equal(pair);
      expect(status).toBe('copy waits');
      await streaming(pair, 'to');
      await equal(pair);
    } finally {
      await long.end();
    }
  },
);
