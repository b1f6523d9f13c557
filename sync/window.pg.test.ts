// A chunk between its two marks: whatever the source does after the chunk was read and before its
// high mark wins over what was read.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { openFlow, type FlowParts } from '../test/support/flow.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import { equal } from '../test/support/sync.ts';

let pair: Pair;
let flow: FlowParts | undefined;
let stop: AbortController;
let running: Promise<void> | undefined;

beforeEach(async () => {
  pair = await createPair();
  stop = new AbortController();
  await pair.monolith.query(`
    ALTER TABLE prd ALTER COLUMN dsc SET STORAGE EXTERNAL;
    INSERT INTO prd (no, nm, dsc, prc) SELECT 'N' || i, 'old', repeat('long ', 600 * (i % 2)), i FROM generate_series(1, 40) i`);
  await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
});

afterEach(async () => {
  stop.abort();
  await running;
  await flow?.close();
  await pair.close();
});

/** Copies with `meanwhile` between each read of prd and its high mark. */
async function copyWith(
  meanwhile: (keys: readonly number[], chunk: number) => Promise<unknown>,
): Promise<void> {
  let chunk = 0;
  flow = await openFlow(pair, {
    afterRead: async (table, keys) => {
      if (table === 'public.prd') await meanwhile(keys.map(Number), chunk++);
    },
  });
  running = flow.run(stop.signal);
  const { copying } = flow;
  await waitFor(() => !copying.running, { timeoutMs: 30_000, what: 'the copy to end' });
  await equal(pair);
}

test('an update after the read wins over the row that was read', async () => {
  await copyWith((keys) =>
    pair.monolith.query(`UPDATE prd SET nm = 'new' WHERE prd_id = ANY ($1)`, [keys]),
  );
});

test('a row that is deleted after the read does not come back', async () => {
  await copyWith((keys) =>
    pair.monolith.query(`DELETE FROM prd WHERE prd_id = ANY ($1) AND prd_id % 3 = 0`, [keys]),
  );
  expect((await pair.service.query('SELECT count(*)::int AS n FROM product')).rows).toEqual([
    { n: 27 },
  ]);
});

test('a key that moves after the read is in the target once', async () => {
  await copyWith((keys) =>
    pair.monolith.query(
      `UPDATE prd SET prd_id = CASE prd_id % 2 WHEN 0 THEN prd_id + 1000 ELSE -prd_id END
        WHERE prd_id = ANY ($1) AND prd_id % 5 < 2 AND prd_id BETWEEN 1 AND 999`,
      [keys],
    ),
  );
});

test('a truncate after the read empties the target', async () => {
  await copyWith(async (_, chunk) => {
    if (chunk === 1) await pair.monolith.query('TRUNCATE prd CASCADE');
  });
  expect((await pair.service.query('SELECT id FROM product')).rows).toEqual([]);
});

test('a row that is deleted and made anew after the read has the new values', async () => {
  await copyWith((keys) =>
    pair.monolith.query(
      `WITH gone AS (DELETE FROM prd WHERE prd_id = ANY ($1) AND nm = 'old' RETURNING *), later AS (SELECT * FROM gone)
       INSERT INTO prd (prd_id, no, nm, prc) SELECT prd_id + 100, no || '-', 'anew', prc FROM later WHERE prd_id % 2 = 0`,
      [keys],
    ),
  );
});
