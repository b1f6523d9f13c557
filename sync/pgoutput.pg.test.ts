// The decoder against a real stream: what the server sends for each kind of change, under both
// replica identities, and how a transaction is cut into pieces.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type pg from 'pg';
import { connect } from '../core/postgres/connect.ts';
import { createDatabase, type TestDatabase } from '../test/support/postgres.ts';
import type { ChangeLog } from './change-log.ts';
import type { Change, Piece } from './domain/change.ts';
import { openSlotLog } from './slot-log.ts';

let database: TestDatabase;
let client: pg.Client;
let log: ChangeLog;

const LONG = 'long "\\{é🦊 '.repeat(900);

beforeAll(async () => {
  database = await createDatabase('decode');
  client = await connect(database.url, { applicationName: 'banyan-test' });
  await client.query(`
    CREATE TABLE plain (id bigint PRIMARY KEY, a text, b text);
    CREATE TABLE whole (id bigint PRIMARY KEY, a text, b text);
    ALTER TABLE whole REPLICA IDENTITY FULL;
    ALTER TABLE plain ALTER COLUMN b SET STORAGE EXTERNAL;
    ALTER TABLE whole ALTER COLUMN b SET STORAGE EXTERNAL;
    CREATE TABLE wide (id integer PRIMARY KEY, ${Array.from({ length: 900 }, (_, index) => `c${index} text`).join(', ')});
    CREATE PUBLICATION all_of_it FOR TABLE plain, whole, wide`);
  await client.query(`SELECT pg_create_logical_replication_slot('${database.name}', 'pgoutput')`);
  log = await openSlotLog(
    { url: database.url, slot: database.name, publication: 'all_of_it', pieceLimit: 50 },
    { timeline: 1, commitLsn: 0n, seq: 0 },
  );
});

afterAll(async () => {
  await log.close();
  await client.end();
  await database.drop();
});

/** Runs the statement and gives the pieces of its transaction. */
async function pieces(statement: string): Promise<Piece[]> {
  await client.query(statement);
  const found: Piece[] = [];
  while (found.at(-1)?.endLsn === undefined)
    found.push(...(await log.read(AbortSignal.timeout(30_000))));
  return found;
}

async function changes(statement: string): Promise<Change[]> {
  return (await pieces(statement)).flatMap((piece) => piece.changes);
}

test.each(['plain', 'whole'])('decodes inserts, updates and deletes of %s', async (table) => {
  const full = table === 'whole';
  expect(
    await changes(`INSERT INTO ${table} VALUES (1, NULL, ''), (2, 'é🦊\\"', '${LONG}')`),
  ).toMatchObject([
    { kind: 'insert', relation: { schema: 'public', table }, after: ['1', null, ''] },
    { kind: 'insert', after: ['2', 'é🦊\\"', LONG] },
  ]);
  const [touched] = await changes(`UPDATE ${table} SET a = 'x' WHERE id = 2`);
  // Unchanged TOAST: not sent, but under full identity known from the old row.
  expect(touched).toMatchObject({ kind: 'update', after: ['2', 'x', full ? LONG : undefined] });
  const [moved] = await changes(`UPDATE ${table} SET id = 3 WHERE id = 2`);
  expect(moved).toMatchObject({ kind: 'update', after: ['3', 'x', full ? LONG : undefined] });
  if (moved?.kind === 'update') expect(moved.before?.[0]).toBe('2');
  const [nulled] = await changes(`UPDATE ${table} SET b = NULL WHERE id = 3`);
  expect(nulled).toMatchObject({ after: ['3', 'x', null] });
  const [gone] = await changes(`DELETE FROM ${table} WHERE id = 1`);
  expect(gone).toMatchObject({ kind: 'delete' });
  if (gone?.kind === 'delete') expect(gone.before[0]).toBe('1');
});

test('decodes truncates, messages and wide rows', async () => {
  const [truncate] = await changes('TRUNCATE plain, whole');
  expect(truncate?.kind === 'truncate' && truncate.relations.map((one) => one.table)).toEqual([
    'plain',
    'whole',
  ]);
  expect(await changes(`SELECT pg_logical_emit_message(true, 'pre', 'content é')`)).toEqual([
    { kind: 'message', prefix: 'pre', content: 'content é' },
  ]);
  const [wide] = await changes(`INSERT INTO wide (id, c0, c899) VALUES (1, 'first', 'last')`);
  expect(wide?.kind === 'insert' && [wide.after.length, wide.after[1], wide.after[900]]).toEqual([
    901,
    'first',
    'last',
  ]);
});

test('a column that is added shows from the next change on', async () => {
  const [before] = await changes(`INSERT INTO plain VALUES (50, 'a', 'b')`);
  await client.query('ALTER TABLE plain ADD COLUMN c text');
  const [after] = await changes(`INSERT INTO plain VALUES (51, 'a', 'b', 'c')`);
  expect(before).toMatchObject({ after: ['50', 'a', 'b'] });
  expect(after).toMatchObject({ after: ['51', 'a', 'b', 'c'] });
});

test('a large transaction comes in pieces that count on, the rows of one COPY included', async () => {
  const found = await pieces(
    `INSERT INTO plain SELECT 1000 + i, 'p' FROM generate_series(1, 120) i`,
  );
  expect(
    found.map((piece) => [piece.firstSeq, piece.changes.length, piece.endLsn !== undefined]),
  ).toEqual([
    [1, 50, false],
    [51, 50, false],
    [101, 20, true],
  ]);
  expect(new Set(found.map((piece) => piece.head.commitLsn)).size).toBe(1);
});

test('a slot that is gone, or read by somebody else, is an error of its own', async () => {
  const options = { url: database.url, publication: 'all_of_it' };
  const from = { timeline: 1, commitLsn: 0n, seq: 0 };
  await expect(openSlotLog({ ...options, slot: 'not_there' }, from)).rejects.toMatchObject({
    code: 'SLOT_LOST',
  });
  await expect(openSlotLog({ ...options, slot: database.name }, from)).rejects.toMatchObject({
    code: 'APPLIER_REPLACED',
  });
});
