// What a real slot gives, through records and back: the same changes, for every type of the catalog.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type pg from 'pg';
import { connect } from '../../core/postgres/connect.ts';
import { COLUMNS, table as everyType, TYPES } from '../../test/support/every-type.ts';
import { createDatabase, type TestDatabase } from '../../test/support/postgres.ts';
import type { ChangeLog } from '../change-log.ts';
import type { Change, Piece, Relation, Tuple } from '../domain/change.ts';
import { createDecoder } from '../domain/debezium/decoder.ts';
import { createEncoder } from '../domain/debezium/encoder.ts';
import { formOf } from '../domain/debezium/forms.ts';
import { lossOf } from '../domain/debezium/losses.ts';
import { DEBEZIUM_DEFAULTS, type SourceTable } from '../domain/debezium/source.ts';
import { openSlotLog } from '../slot-log.ts';
import { readSourceTables } from './source-tables.ts';

let database: TestDatabase;
let client: pg.Client;
let log: ChangeLog;
let tables: Map<string, SourceTable>;

beforeAll(async () => {
  database = await createDatabase('records');
  client = await connect(database.url, { applicationName: 'banyan-test' });
  await client.query(`
    ${TYPES}
    ${everyType(1, 'each')}; ${everyType(1, 'whole')};
    ALTER TABLE whole DROP COLUMN doubled;
    ALTER TABLE whole REPLICA IDENTITY FULL;
    CREATE DOMAIN price AS numeric(10,2); CREATE DOMAIN net_price AS price NOT NULL DEFAULT 1.5;
    CREATE TABLE odd (a integer NOT NULL, b mood NOT NULL, c net_price, d varchar(7)[] DEFAULT '{}', e price[], f time(2), UNIQUE (b, a));
    ALTER TABLE odd REPLICA IDENTITY USING INDEX odd_b_a_key;
    CREATE PUBLICATION all_of_it FOR TABLE each, whole`);
  await client.query(`SELECT pg_create_logical_replication_slot('${database.name}', 'pgoutput')`);
  log = await openSlotLog(
    { url: database.url, slot: database.name, publication: 'all_of_it', lsns: true },
    { timeline: 1, commitLsn: 0n, seq: 0 },
  );
  const names = ['each', 'whole', 'odd', 'missing'].map((table) => ({ schema: 'public', table }));
  const read = await readSourceTables(client, names);
  tables = new Map(read.map((one) => [one.table, one]));
});

afterAll(async () => {
  await log.close();
  await client.end();
  await database.drop();
});

async function pieces(statement: string): Promise<Piece[]> {
  await client.query(statement);
  const found: Piece[] = [];
  while (found.at(-1)?.endLsn === undefined)
    found.push(...(await log.read(AbortSignal.timeout(30_000))));
  return found;
}

const script = (table: string): string => {
  const names = COLUMNS.map(([name]) => name).join(', ');
  const values = (at: 3 | 4): string => COLUMNS.map((column) => column[at]).join(', ');
  return `
    BEGIN;
    INSERT INTO ${table} (${names}) VALUES (${values(3)}), (${values(4)});
    INSERT INTO ${table} (txt) VALUES (NULL);
    UPDATE ${table} SET num = 1.50 WHERE id = 1;
    UPDATE ${table} SET id = DEFAULT WHERE id = 2;
    DELETE FROM ${table} WHERE id = 1;
    SELECT pg_logical_emit_message(true, 'banyan', 'é');
    COMMIT`;
};

/** Under a key's identity the log says NULL for what it does not say. */
function identityOnly(relation: Relation, before: Tuple): Tuple {
  return before.map((value, index) => (relation.columns[index]?.key ? value : undefined));
}

function expected(change: Change): unknown {
  if (change.kind === 'delete' || change.kind === 'update')
    return { ...change, before: change.before && identityOnly(change.relation, change.before) };
  return change;
}

test.each(['each', 'whole'])('every type of table %s comes back as it was', async (name) => {
  const read = await pieces(script(name));
  const find = ({ table }: { table: string }): SourceTable | undefined => tables.get(table);
  const encoder = createEncoder({
    ...{ prefix: 'mono', database: database.name, timeline: 1, layout: 'changes', tables: find },
  });
  const decoder = createDecoder({ tables: find, layout: 'changes' });
  const decoded = read
    .flatMap((piece) => encoder.encode(piece, Date.now()))
    .map((record) => decoder.decode(record));
  const changes = decoded.flatMap((one) => (one.kind === 'change' ? [one] : []));
  const sent = read.flatMap(({ changes: all }) => all);
  expect(changes.map(({ change }) => change)).toEqual(sent.map(expected));
  const lsns = read.flatMap((piece) => piece.lsns ?? []);
  expect(changes.map(({ head }) => head.lsn)).toEqual(lsns);
  expect(new Set(lsns).size).toBeGreaterThan(4);
});

test("in the connector's own form the texts that it does not lose come back too", async () => {
  const read = await pieces(
    script('whole').replace('id = 1;', 'id = 4;').replace('id = 2;', 'id = 5;'),
  );
  for (const schemas of [true, false]) {
    const modes = { decimals: 'string', intervals: 'string' } as const;
    const all = { ...DEBEZIUM_DEFAULTS, ...modes };
    const find = (): SourceTable | undefined => tables.get('whole');
    const kept = (): SourceTable | undefined => {
      const table = find();
      const lossless = table?.columns.filter((one) => !lossOf(one, formOf(one.type, all)));
      return table && { ...table, columns: (lossless ?? []).filter((one) => one.name !== 'arr') };
    };
    const encoder = createEncoder({
      ...{ prefix: 'mono', database: database.name, timeline: 1, layout: 'table', schemas, modes },
      tables: find,
    });
    const decoder = createDecoder({ tables: kept, layout: 'table', modes });
    const changes = read
      .flatMap((piece) => encoder.encode(piece, Date.now()))
      .map((record) => decoder.decode(record))
      .flatMap((one) =>
        one.kind === 'change' && one.change.kind === 'insert' ? [one.change] : [],
      );
    const wanted = read
      .flatMap((piece) => piece.changes)
      .filter((change) => change.kind === 'insert');
    expect(changes.length).toBeGreaterThan(wanted.length);
    for (const [index, change] of wanted.entries()) {
      const values = new Map(
        change.relation.columns.map(({ name }, place) => [name, change.after[place]]),
      );
      const decoded = changes[index];
      const names = decoded?.relation.columns.map((column) => column.name) ?? [];
      expect(names.length).toBeGreaterThan(20);
      expect(decoded?.after).toEqual(names.map((one) => values.get(one)));
    }
  }
});

test('domains are resolved, a unique index is the key, the identity is its own', () => {
  expect([...tables.keys()].sort()).toEqual(['each', 'odd', 'whole']);
  const odd = tables.get('odd');
  const typmod = ((10 << 16) | 2) + 4;
  expect(odd?.identity).toBe('index');
  expect(odd?.columns).toEqual([
    expect.objectContaining({ name: 'a', keyPlace: 2, identity: true, notNull: true }),
    expect.objectContaining({
      ...{ name: 'b', keyPlace: 1, identity: true },
      type: { name: 'mood', typmod: -1, labels: ['so "so"', 'hap,py'] },
    }),
    expect.objectContaining({ name: 'c', identity: false, type: { name: 'numeric', typmod } }),
    expect.objectContaining({
      ...{ name: 'd', defaultText: "'{}'::character varying[]" },
      type: { name: '_varchar', typmod: 11, element: { name: 'varchar', typmod: 11 } },
    }),
    expect.objectContaining({ name: 'e', type: expect.objectContaining({ name: '_price' }) }),
    expect.objectContaining({ name: 'f', type: { name: 'time', typmod: 2 } }),
  ]);
  expect(tables.get('whole')?.columns.every(({ identity }) => identity)).toBe(true);
});
