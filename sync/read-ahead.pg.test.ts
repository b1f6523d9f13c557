// What a slot's log reads ahead of its consumer: bounded by the memory that it takes, and decoded only
// when somebody looks at it, as things were when it came.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type pg from 'pg';
import { sleep, waitFor } from '../core/lifecycle.ts';
import { connect } from '../core/postgres/connect.ts';
import { createDatabase, type TestDatabase } from '../test/support/postgres.ts';
import type { Change, Piece } from './domain/change.ts';
import { openSlotLog, type SlotChangeLog, type SlotLogOptions } from './slot-log.ts';

let database: TestDatabase;
let client: pg.Client;
let log: SlotChangeLog;

beforeEach(async () => {
  database = await createDatabase('ahead');
  client = await connect(database.url, { applicationName: 'banyan-test' });
  await client.query(
    'CREATE TABLE t (id integer PRIMARY KEY, a text); CREATE PUBLICATION all_of_it FOR TABLE t',
  );
  await client.query(`SELECT pg_create_logical_replication_slot('${database.name}', 'pgoutput')`);
});

afterEach(async () => {
  await log.close();
  await client.end();
  await database.drop();
});

async function open(options: Partial<SlotLogOptions> = {}): Promise<void> {
  log = await openSlotLog(
    { url: database.url, slot: database.name, publication: 'all_of_it', ...options },
    { timeline: 1, commitLsn: 0n, seq: 0 },
  );
}

const read = (): Promise<readonly Piece[]> => log.read(AbortSignal.timeout(30_000));

/** Everything that has been written lies in our socket, or has been taken out of it as far as that was wanted. */
async function sent(): Promise<void> {
  const { rows } = await client.query<{ lsn: string }>('SELECT pg_current_wal_lsn()::text AS lsn');
  await waitFor(
    async () => {
      const found = await client.query(
        `SELECT 1 FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid
          WHERE s.slot_name = $1 AND r.sent_lsn >= $2::pg_lsn`,
        [database.name, rows[0]?.lsn],
      );
      return found.rows.length > 0;
    },
    { timeoutMs: 30_000, what: 'the stream to be sent' },
  );
  for (let turn = 0; turn < 500; turn++) await nextTurn();
}

test('short transactions that nobody takes wait by the memory they take, the rest with the server', async () => {
  const count = 3_000;
  await open({ queueBytes: 200_000, readChanges: 1_000_000 });
  await client.query(`SET synchronous_commit = off`);
  await client.query(
    `DO $$ BEGIN FOR i IN 1..${count} LOOP INSERT INTO t VALUES (i, 'x'); COMMIT; END LOOP; END $$`,
  );
  await sent();
  const all: Piece[] = [];
  let most = 0;
  while (all.length < count) {
    // Time for more to come than there is room for.
    await sleep(50);
    const pieces = await read();
    most = Math.max(most, pieces.length);
    all.push(...pieces);
  }
  // Their bytes alone would all have found room. A chunk of the socket comes on top.
  expect(most).toBeGreaterThan(100);
  expect(most).toBeLessThan(1_200);
  expect(all.map(({ changes: [change] }) => change?.kind === 'insert' && change.after[0])).toEqual(
    Array.from({ length: count }, (_, index) => String(index + 1)),
  );
});

test('a piece that is looked at again, after others, shows the same as the first time', async () => {
  await open({ pieceLimit: 3 });
  await client.query(`
    BEGIN; INSERT INTO t VALUES (1, 'a'), (2, 'a'); ALTER TABLE t ADD COLUMN b text;
    INSERT INTO t VALUES (3, 'a', 'b'), (4, 'a', 'b'); ALTER TABLE t DROP COLUMN a;
    INSERT INTO t VALUES (5, 'b'); COMMIT`);
  const pieces: Piece[] = [];
  while (pieces.at(-1)?.endLsn === undefined) pieces.push(...(await read()));
  const [first, second] = pieces;
  const columns = (piece: Piece | undefined): (string[] | undefined)[] =>
    (piece?.changes ?? []).map((change: Change) =>
      change.kind === 'insert' ? change.relation.columns.map(({ name }) => name) : undefined,
    );
  // The last one first: what it says of the table is not true of those before it.
  expect(columns(second)).toEqual([
    ['id', 'a', 'b'],
    ['id', 'b'],
  ]);
  expect(columns(first)).toEqual([
    ['id', 'a'],
    ['id', 'a'],
    ['id', 'a', 'b'],
  ]);
  const seen = first?.changes;
  expect(first?.changes).toBe(seen);
  expect(second?.changes).toHaveLength(2);
  // Nothing is kept for whoever might come back; it is there all the same.
  expect(first?.changes).not.toBe(seen);
  expect(first?.changes).toEqual(seen);
});
