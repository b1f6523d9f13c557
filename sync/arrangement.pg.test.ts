// Folded changes are written in an order that the target's constraints allow, where there is one: only a
// batch that no order suits is narrowed down.
import { afterEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import {
  advanceTo,
  equal,
  logGate,
  startSync,
  streaming,
  type LogGate,
  type RunningSync,
} from '../test/support/sync.ts';

const ROWS = 40;

let pair: Pair;
let gate: LogGate;
let sync: RunningSync | undefined;

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

async function begin(): Promise<void> {
  pair = await createPair();
  await pair.monolith.query(`
    INSERT INTO cat SELECT i, 'c', nullif(i - 1, 0) FROM generate_series(1, ${ROWS}) i;
    INSERT INTO prd (no, nm, prc, cat_id) SELECT 'N' || i, 'n', 1, i FROM generate_series(1, ${ROWS}) i`);
  await advanceTo(pair, 'sync');
  gate = logGate();
  sync = startSync(pair, { wrapLog: (log) => gate.wrap(log) });
  await streaming(pair, 'to');
}

/** Runs the same in many transactions of the source, of which the target hears at once. */
async function atOnce(each: (id: number) => string): Promise<void> {
  gate.shut();
  for (let id = 1; id <= ROWS; id++) await pair.monolith.query(each(id));
  await allSent();
  gate.open();
  await equal(pair);
}

/** Waits until the source has sent all that was committed before this call. */
async function allSent(): Promise<void> {
  const { rows } = await pair.monolith.query<{ at: string }>('SELECT pg_current_wal_lsn() AS at');
  await waitFor(
    async () => {
      const sent = await pair.monolith.query(
        `SELECT 1 FROM pg_replication_slots s JOIN pg_stat_replication r ON r.pid = s.active_pid
          WHERE s.database = current_database() AND r.sent_lsn >= $1`,
        [rows[0]?.at],
      );
      return sent.rows.length > 0;
    },
    { timeoutMs: 30_000, everyMs: 10, what: 'the source to send everything' },
  );
}

/** In how many transactions products were written that are there. */
async function transactions(): Promise<number> {
  const { rows } = await pair.service.query<{ n: number }>(
    'SELECT count(DISTINCT xmin::text)::int AS n FROM product',
  );
  return rows[0]?.n ?? 0;
}

/** Rows go that others point to no more: written last. */
const pointElsewhere = (id: number): string => `
  INSERT INTO cat VALUES (${100 + id}, 'new', ${id === 1 ? 'NULL' : 99 + id});
  UPDATE cat SET par_id = ${100 + id} WHERE par_id = ${id};
  UPDATE prd SET cat_id = ${100 + id} WHERE cat_id = ${id}; DELETE FROM cat WHERE cat_id = ${id}`;

test('rows that others point to go in the batch in which these come to point elsewhere', async () => {
  await begin();
  await atOnce(pointElsewhere);
  expect(await transactions()).toBeLessThan(5);
  const { rows } = await pair.service.query('SELECT 1 FROM category WHERE id <= $1', [ROWS]);
  expect(rows).toEqual([]);
});

test('rows that leave their unique values to others go first again, whatever the last batch asked for', async () => {
  await begin();
  await atOnce(pointElsewhere);
  await atOnce((id) =>
    id % 2 === 0
      ? `UPDATE prd SET nm = 'even' WHERE prd_id = ${id}`
      : `DELETE FROM prd WHERE prd_id = ${id}; INSERT INTO prd (prd_id, no, nm, prc) VALUES (${100 + id}, 'N${id}', 'anew', 1)`,
  );
  expect(await transactions()).toBeLessThan(5);
});

test('what the target alone knows of a row outlives the one that it pointed to, which would take it along', async () => {
  const tables = (owner: string, child: string, toy: string): string => `
    CREATE TABLE ${owner} (id integer PRIMARY KEY, up integer REFERENCES ${owner} ON DELETE CASCADE);
    CREATE TABLE ${child} (id integer PRIMARY KEY, owner integer REFERENCES ${owner} ON DELETE CASCADE);
    CREATE TABLE ${toy} (id integer PRIMARY KEY, child integer REFERENCES ${child} ON DELETE CASCADE)`;
  pair = await createPair({
    schemas: {
      monolith: tables('par', 'kid', 'toy'),
      service: `${tables('parent', 'child', 'plaything')};
        ALTER TABLE parent ADD COLUMN note text; ALTER TABLE child ADD COLUMN note text;
        ALTER TABLE plaything ADD COLUMN note text`,
    },
    capability: {
      tables: [
        { monolith: 'par', service: 'parent', key: { id: 'id' }, columns: { up: 'up' } },
        { monolith: 'kid', service: 'child', key: { id: 'id' }, columns: { owner: 'owner' } },
        { monolith: 'toy', service: 'plaything', key: { id: 'id' }, columns: { child: 'child' } },
      ],
    },
  });
  await pair.monolith.query(`
    INSERT INTO par VALUES (1, NULL), (2, NULL), (3, NULL), (4, 1), (5, NULL);
    INSERT INTO kid VALUES (9, 1), (10, 3), (11, 2); INSERT INTO toy VALUES (20, 11), (21, 9)`);
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
  await streaming(pair, 'to');
  await pair.service.query(`
    UPDATE parent SET note = 'ours'; UPDATE child SET note = 'ours'; UPDATE plaything SET note = 'ours'`);
  // Children, one of the same table among them, leave a parent that goes; and a toy the child that goes with its parent.
  await pair.monolith.query(`
    BEGIN; UPDATE par SET up = 5 WHERE id = 4; UPDATE kid SET owner = 3 WHERE id = 9; DELETE FROM par WHERE id = 1; COMMIT;
    BEGIN; UPDATE toy SET child = 10 WHERE id = 20; DELETE FROM par WHERE id = 2; COMMIT`);
  await streaming(pair, 'to');
  const rows = async (text: string): Promise<unknown[]> =>
    (await pair.service.query<Record<string, unknown>>(text)).rows;
  expect(await rows('SELECT * FROM parent ORDER BY id')).toEqual([
    { id: 3, up: null, note: 'ours' },
    { id: 4, up: 5, note: 'ours' },
    { id: 5, up: null, note: 'ours' },
  ]);
  expect(await rows('SELECT * FROM child ORDER BY id')).toEqual([
    { id: 9, owner: 3, note: 'ours' },
    { id: 10, owner: 3, note: 'ours' },
  ]);
  expect(await rows('SELECT * FROM plaything ORDER BY id')).toEqual([
    { id: 20, child: 10, note: 'ours' },
    { id: 21, child: 9, note: 'ours' },
  ]);
});
