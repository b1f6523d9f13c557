// Schemas that change under a running flow: what does not concern the mapping goes on, what does stops
// the flow with a clear error before anything is lost, and after the mend nothing is missing or doubled.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import {
  advanceTo,
  equal,
  startSync,
  stopped,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';

let pair: Pair;
let sync: RunningSync | undefined;

beforeEach(async () => {
  pair = await createPair();
  await pair.monolith.query(
    `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', i FROM generate_series(1, 20) i`,
  );
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
  await streaming(pair, 'to');
});

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

const resume = (): Promise<void> => pair.coordinator().resumeFlows('catalog');

async function stops(why: RegExp): Promise<void> {
  await waitFor(async () => why.test((await stopped(pair, 'to')).error), {
    timeoutMs: 30_000,
    what: `the flow to stop for ${String(why)}`,
  });
  const { code, error } = await stopped(pair, 'to');
  expect(code).toBe('FLOW_STOPPED');
  expect(error).toContain('banyan sync resume');
}

/** As after a restart of the process. */
async function restart(): Promise<void> {
  await sync?.stop();
  sync = startSync(pair);
}

test('columns, tables and indexes that the mapping does not name come and go', async () => {
  await pair.monolith.query(`
    ALTER TABLE prd ADD COLUMN weight integer NOT NULL DEFAULT 7, ADD COLUMN note text;
    UPDATE prd SET note = 'new', nm = 'with note' WHERE prd_id = 1;
    ALTER TABLE prd DROP COLUMN weight;
    UPDATE prd SET nm = 'without weight' WHERE prd_id = 2;
    CREATE INDEX ON prd (nm);
    ALTER TABLE prd ALTER COLUMN nm TYPE varchar(500);
    CREATE TABLE unrelated (id integer PRIMARY KEY);
    INSERT INTO unrelated VALUES (1)`);
  await pair.service.query(`ALTER TABLE product ADD COLUMN extra text DEFAULT 'x'`);
  await pair.monolith.query(`INSERT INTO prd (no, nm, prc) VALUES ('after', 'all', 1)`);
  await equal(pair);
  await restart();
  await streaming(pair, 'to');
  const [line] = await pair.evidence.flows('catalog');
  expect(line?.errorCode).toBeNull();
});

test('a mapped column that is dropped at the source stops the flow; with it back, nothing is missing', async () => {
  await pair.monolith.query(`
    ALTER TABLE prd RENAME COLUMN dsc TO old_dsc;
    UPDATE prd SET nm = 'without' WHERE prd_id < 5;
    INSERT INTO prd (no, nm, prc) VALUES ('meanwhile', 'm', 1)`);
  await stops(/there is no column dsc in public\.prd/);
  await pair.monolith.query(`
    ALTER TABLE prd ADD COLUMN dsc text;
    UPDATE prd SET dsc = 'again ' || prd_id WHERE prd_id IN (1, 7)`);
  await resume();
  await equal(pair);
  await streaming(pair, 'to');
});

test('a mapped column that is called otherwise for a while: what was written meanwhile arrives', async () => {
  await pair.monolith.query(`
    ALTER TABLE prd RENAME COLUMN nm TO title;
    UPDATE prd SET title = 'written meanwhile' WHERE prd_id < 5;
    INSERT INTO prd (no, title, prc) VALUES ('meanwhile', 'm', 1);
    DELETE FROM prd WHERE prd_id = 9`);
  await stops(/there is no column nm in public\.prd/);
  await pair.monolith.query(`ALTER TABLE prd RENAME COLUMN title TO nm`);
  await resume();
  await equal(pair);
  await streaming(pair, 'to');
});

test('a table that is called otherwise for a while: what was written meanwhile arrives', async () => {
  await sync?.stop();
  await pair.monolith.query(`
    ALTER TABLE prd RENAME TO products;
    UPDATE products SET nm = 'written meanwhile' WHERE prd_id < 5;
    INSERT INTO products (no, nm, prc) VALUES ('meanwhile', 'm', 1)`);
  sync = startSync(pair);
  await stops(/there is no table public\.prd/);
  await pair.monolith.query(`ALTER TABLE products RENAME TO prd`);
  await resume();
  await equal(pair);
  await streaming(pair, 'to');
});

test('a table that takes the place of another under its name stops the flow until it is published, and is copied', async () => {
  await pair.monolith.query(`
    CREATE TABLE prd_new (LIKE prd INCLUDING ALL);
    INSERT INTO prd_new SELECT * FROM prd WHERE prd_id <> 3;
    UPDATE prd_new SET nm = 'moved' WHERE prd_id = 4;
    ALTER TABLE prd RENAME TO prd_old;
    ALTER TABLE prd_new RENAME TO prd;
    UPDATE prd SET nm = 'not published' WHERE prd_id = 5`);
  for (const role of ['capture', 'applier'])
    await pair.monolith.query(`GRANT SELECT ON prd TO m_${pair.tag}_${role}`);
  await stops(/of publication banyan_catalog_to, table public\.prd is not in it/);
  await pair.monolith.query('ALTER PUBLICATION banyan_catalog_to SET TABLE cat, prd');
  await resume();
  await streaming(pair, 'to');
  await pair.monolith.query('DELETE FROM prd WHERE prd_id = 6');
  await waitFor(
    async () =>
      (await pair.service.query(`SELECT 1 FROM product WHERE name IN ('moved', 'not published')`))
        .rows.length === 2,
    { timeoutMs: 30_000, what: 'the new table’s rows to arrive' },
  );
  await equal(pair);
});

test('a mapped column whose type is changed has its table copied again', async () => {
  // Values are rewritten, and the stream says nothing of that.
  await pair.monolith.query('ALTER TABLE prd ALTER COLUMN prc TYPE numeric(12,1) USING prc * 2');
  await equal(pair);
  await streaming(pair, 'to');
  await sync?.stop();
  await pair.monolith.query(
    `ALTER TABLE prd ALTER COLUMN nm TYPE varchar(3) USING left(nm, 1) || '!'`,
  );
  sync = startSync(pair);
  await equal(pair);
  await streaming(pair, 'to');
});

test('a mapped column that is dropped at the target stops the flow; with it back, nothing is missing', async () => {
  await pair.service.query('ALTER TABLE product RENAME COLUMN name TO title');
  await pair.monolith.query(`
    UPDATE prd SET nm = 'meanwhile' WHERE prd_id < 5;
    DELETE FROM prd WHERE prd_id = 9;
    INSERT INTO prd (no, nm, prc) VALUES ('meanwhile', 'm', 1)`);
  await stops(/there is no column name in public\.product/);
  await pair.service.query('ALTER TABLE product RENAME COLUMN title TO name');
  await resume();
  await equal(pair);
  await streaming(pair, 'to');
});

test('a publication that is narrowed stops the flow, and what it left out is copied', async () => {
  await pair.monolith.query(
    `ALTER PUBLICATION banyan_catalog_to SET TABLE cat, prd WHERE (prd_id > 10)`,
  );
  await pair.monolith.query('DELETE FROM prd WHERE prd_id = 3');
  await pair.monolith.query(`UPDATE prd SET nm = 'filtered away' WHERE prd_id = 4`);
  await stops(/table public\.prd comes filtered by/);
  await pair.monolith.query(`ALTER PUBLICATION banyan_catalog_to SET TABLE cat, prd`);
  await resume();
  await equal(pair);
  await streaming(pair, 'to');
});

test('what a publication left out while nobody read is copied', async () => {
  await sync?.stop();
  await pair.monolith.query(`ALTER PUBLICATION banyan_catalog_to SET (publish = 'insert')`);
  await pair.monolith.query('DELETE FROM prd WHERE prd_id = 3');
  await pair.monolith.query(`UPDATE prd SET nm = 'not sent' WHERE prd_id = 4`);
  await pair.monolith.query(
    `ALTER PUBLICATION banyan_catalog_to SET (publish = 'insert, update, delete, truncate')`,
  );
  sync = startSync(pair);
  await equal(pair);
  await streaming(pair, 'to');
});

test('what a publication left out while it had not the schema of its tables is copied', async () => {
  await sync?.stop();
  await pair.monolith.query('ALTER PUBLICATION banyan_catalog_to SET TABLES IN SCHEMA public');
  await restart();
  await streaming(pair, 'to');
  await sync?.stop();
  await pair.monolith.query('ALTER PUBLICATION banyan_catalog_to DROP TABLES IN SCHEMA public');
  await pair.monolith.query(`UPDATE prd SET nm = 'not sent' WHERE prd_id = 4`);
  await pair.monolith.query('ALTER PUBLICATION banyan_catalog_to ADD TABLES IN SCHEMA public');
  await restart();
  await equal(pair);
  await streaming(pair, 'to');
});

test('a column that takes the place of another under its name has its table copied again', async () => {
  await pair.monolith.query(
    `ALTER TABLE prd DROP COLUMN dsc, ADD COLUMN dsc text DEFAULT 'made anew'`,
  );
  await equal(pair);
  await streaming(pair, 'to');
  await sync?.stop();
  await pair.monolith.query(`
    ALTER TABLE prd RENAME COLUMN nm TO old_nm;
    ALTER TABLE prd RENAME COLUMN dsc TO nm;
    ALTER TABLE prd RENAME COLUMN old_nm TO dsc`);
  sync = startSync(pair);
  await equal(pair);
  await streaming(pair, 'to');
});

test('a wider type that puts something else into each row has its table copied again', async () => {
  await pair.monolith.query('ALTER TABLE prd ALTER COLUMN prc TYPE numeric(14,2) USING prc * 2');
  await equal(pair);
  await streaming(pair, 'to');
});

test('a replica identity that does not hold the key any more stops the flow', async () => {
  await pair.monolith.query('ALTER TABLE prd REPLICA IDENTITY USING INDEX prd_no_key');
  await stops(/the replica identity of prd does not hold the key \(prd_id\)/);
  await pair.monolith.query('ALTER TABLE prd REPLICA IDENTITY DEFAULT');
  await resume();
  await pair.monolith.query('DELETE FROM prd WHERE prd_id = 3');
  await equal(pair);
  await streaming(pair, 'to');
});
