// Holes (b), (c) and (d) of a watermark backfill on PostgreSQL: events that cannot be completed by
// themselves, rows that were deleted while no flow ran, foreign keys.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import {
  equal,
  logGate,
  startSync,
  stopped,
  streaming,
  type LogGate,
  type RunningSync,
} from '../test/support/sync.ts';

let pair: Pair;
let sync: RunningSync | undefined;
let gate: LogGate;

beforeEach(async () => {
  pair = await createPair();
  gate = logGate();
});

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

async function products(count: number): Promise<void> {
  await pair.monolith.query(
    `INSERT INTO prd (no, nm, dsc, prc) SELECT 'N' || i, 'old', 'old', i FROM generate_series(1, $1::int) i`,
    [count],
  );
}

async function advance(replaceTarget = false): Promise<void> {
  await pair.coordinator().move({ capability: 'catalog', event: 'advance', replaceTarget });
}

/** Starts the copy and holds the stream back once at least one chunk of prd is in. */
async function startAndHold(): Promise<void> {
  sync = startSync(pair, { wrapLog: gate.wrap });
  await waitFor(
    async () => {
      const { rows } = await pair.service.query(
        `SELECT 1 FROM banyan.backfill WHERE source_table = 'public.prd' AND rows > 0`,
      );
      return rows.length > 0;
    },
    { timeoutMs: 30_000, what: 'a first chunk' },
  );
  gate.shut();
}

test('an unchanged TOAST value of a row that is not copied yet is not lost', async () => {
  await pair.monolith.query('ALTER TABLE prd ALTER COLUMN dsc SET STORAGE EXTERNAL');
  await products(60);
  await pair.monolith.query(`UPDATE prd SET dsc = repeat('long ', 2000) WHERE prd_id > 50`);
  await advance();
  await startAndHold();
  await pair.monolith.query(`UPDATE prd SET nm = 'new' WHERE prd_id > 52`);
  gate.open();
  await streaming(pair, 'to');
  await equal(pair);
  const { rows } = await pair.service.query(
    'SELECT count(*)::int AS n FROM product_text WHERE length(body) = 10000',
  );
  expect(rows).toEqual([{ n: 10 }]);
});

test('a row whose key moves from behind the cursor to before it is not lost, TOAST values included', async () => {
  await pair.monolith.query('ALTER TABLE prd ALTER COLUMN dsc SET STORAGE EXTERNAL');
  await products(60);
  await pair.monolith.query(`UPDATE prd SET dsc = repeat('long ', 2000) WHERE prd_id > 50`);
  await advance();
  await startAndHold();
  // From the part that is not copied yet into the part that is, and the other way round.
  await pair.monolith.query(`
    UPDATE prd SET prd_id = -prd_id WHERE prd_id IN (55, 56);
    UPDATE prd SET prd_id = 1000 + prd_id WHERE prd_id IN (1, 2)`);
  gate.open();
  await streaming(pair, 'to');
  await equal(pair);
});

test('rows that were deleted while no flow ran do not remain in a target that was not empty', async () => {
  await products(30);
  await pair.service.query(`
    INSERT INTO product (id, sku, name, price_cents, state) SELECT i, 'S' || i, 'stale', 1, 'active' FROM generate_series(20, 60) i;
    INSERT INTO product_text SELECT i, 'stale' FROM generate_series(20, 60) i`);
  await expect(advance()).rejects.toMatchObject({ code: 'PREFLIGHT_FAILED' });
  await advance(true);
  sync = startSync(pair);
  await streaming(pair, 'to');
  await equal(pair);
});

test('a row that is deleted after its key was found and before its table is copied does not remain', async () => {
  await products(30);
  await pair.service.query(`
    INSERT INTO product (id, sku, name, price_cents, state) SELECT i, 'S' || i, 'stale', 1, 'active' FROM generate_series(1, 30) i`);
  await advance(true);
  // Written before sync starts, decoded after the pruning looked: the stream alone knows of it.
  sync = startSync(pair, { wrapLog: gate.wrap });
  gate.shut();
  await waitFor(
    async () => {
      const { rows } = await pair.monolith.query(
        `SELECT 1 FROM pg_stat_activity WHERE application_name = 'banyan-read-catalog-to' AND query LIKE '%pg_logical_emit_message%'`,
      );
      return rows.length > 0;
    },
    { timeoutMs: 30_000, what: 'the pruning to be over and the first mark to be written' },
  );
  await pair.monolith.query(
    'UPDATE prd SET prd_id = 500 WHERE prd_id = 29; DELETE FROM prd WHERE prd_id = 30',
  );
  gate.open();
  await streaming(pair, 'to');
  await equal(pair);
});

test('a truncate between two chunks brings no row back', async () => {
  await products(60);
  await advance();
  await startAndHold();
  await pair.monolith.query(
    `TRUNCATE prd CASCADE; INSERT INTO prd (no, nm, prc) VALUES ('X', 'after', 1)`,
  );
  gate.open();
  await streaming(pair, 'to');
  await equal(pair);
});

test('a tree in bad key order and a chain longer than a chunk go in', async () => {
  await pair.monolith.query(`
    INSERT INTO cat SELECT i, 'cat ' || i, CASE WHEN i < 60 THEN i + 1 END FROM generate_series(60, 1, -1) i`);
  await products(5);
  await advance();
  sync = startSync(pair);
  await streaming(pair, 'to');
  const shape = (side: 'monolith' | 'service') =>
    pair[side].query(
      side === 'monolith'
        ? 'SELECT cat_id AS id, nm AS title, par_id AS parent FROM cat ORDER BY 1'
        : 'SELECT id, title, parent_id AS parent FROM category ORDER BY 1',
    );
  expect((await shape('service')).rows).toEqual((await shape('monolith')).rows);
});

test('stray rows of a tree are pruned although their children come in a later chunk', async () => {
  await pair.monolith.query(`INSERT INTO cat VALUES (1, 'kept', NULL)`);
  await products(3);
  await pair.service.query(`
    INSERT INTO category SELECT i, 'stray', NULL FROM generate_series(100, 120) i;
    INSERT INTO category SELECT i, 'stray', i - 40 FROM generate_series(140, 160) i;
    INSERT INTO product (id, sku, name, price_cents, state, category_id) VALUES (2, 'N2', 'stale', 1, 'active', 150)`);
  await advance(true);
  sync = startSync(pair);
  await streaming(pair, 'to');
  await equal(pair);
  expect((await pair.service.query('SELECT id FROM category')).rows).toEqual([{ id: 1 }]);
});

test('an order of tables that makes children come before their parents goes in by itself', async () => {
  await pair.monolith.query(`
    INSERT INTO cat SELECT i, 'cat', NULL FROM generate_series(1, 30) i;
    INSERT INTO prd (no, nm, prc, cat_id) SELECT 'N' || i, 'n', i, 1 + i % 30 FROM generate_series(1, 40) i`);
  await pair.service.query(
    'ALTER TABLE category ADD COLUMN best bigint REFERENCES product ON DELETE SET NULL',
  );
  await advance();
  sync = startSync(pair);
  await streaming(pair, 'to');
  await equal(pair);
});

test('a mapped table that was renamed stops the flow instead of losing its changes', async () => {
  await products(3);
  await advance();
  sync = startSync(pair);
  await streaming(pair, 'to');
  await pair.monolith.query('ALTER TABLE prd RENAME TO product_old');
  await pair.monolith.query(`UPDATE product_old SET nm = 'lost?'`);
  expect(await stopped(pair, 'to')).toMatchObject({ code: 'FLOW_STOPPED' });
});
