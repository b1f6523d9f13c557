// What Debezium's own engine writes for a large array that an update leaves as it is: for some elements a
// placeholder, for the others NULL, which nobody could tell from one that was written; unless the table's
// replica identity is FULL. And what a flow makes of each.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { connect } from '../../core/postgres/connect.ts';
import { startDebezium, type Debezium } from '../../test/support/debezium.ts';
import { createDatabase, type TestDatabase } from '../../test/support/postgres.ts';
import { createDecoder, type InRecord } from '../domain/debezium/decoder.ts';
import { createEncoder } from '../domain/debezium/encoder.ts';
import { formOf } from '../domain/debezium/forms.ts';
import { unchangedLossOf } from '../domain/debezium/losses.ts';
import type { RecordWriter } from '../domain/debezium/row-reader.ts';
import { DEBEZIUM_DEFAULTS, type SourceTable } from '../domain/debezium/source.ts';
import { readSourceTables } from './source-tables.ts';

const TEXT = ['__debezium_unavailable_value'];
const UUID = `'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'`;
const NUMBERS = Array.from(Buffer.from('__debezium_unavailable_value'));

/** Column, its type, an element, and what the connector writes where the array did not change. */
const ARRAYS: readonly (readonly [name: string, type: string, element: string, json: unknown])[] = [
  ['texts', 'text[]', `'x'`, TEXT],
  ['varchars', 'varchar(5)[]', `'x'`, TEXT],
  ['chars', 'char(5)[]', `'x'`, TEXT],
  ['jsons', 'json[]', `'{}'`, TEXT],
  ['jsonbs', 'jsonb[]', `'{}'`, TEXT],
  ['ints', 'integer[]', '1', NUMBERS],
  ['bigints', 'bigint[]', '1', NUMBERS],
  ['dates', 'date[]', `'2024-02-29'`, NUMBERS],
  ['uuids', 'uuid[]', UUID, ['b68a35a7-17ad-35b3-af2a-ae46edb4545a']],
  ['byteas', 'bytea[]', `'\\x00ff'`, ['X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==']],
  ['smallints', 'smallint[]', '1', null],
  ['numerics', 'numeric(10,2)[]', '1.50', null],
  ['reals', 'real[]', '1.5', null],
  ['doubles', 'double precision[]', '1.5', null],
  ['bools', 'boolean[]', 'true', null],
  ['stamps', 'timestamp[]', `'2024-05-06 07:08:09'`, null],
  ['zoned', 'timestamptz[]', `'2024-05-06 07:08:09+00'`, null],
  ['times', 'time[]', `'13:51:30'`, null],
  ['moods', 'mood[]', `'sad'`, null],
  ['inets', 'inet[]', `'10.0.0.1'`, null],
  ['ranges', 'int4range[]', `'[1,5)'`, null],
  ['citexts', 'citext[]', `'x'`, null],
  // The connector goes by the name of the domain.
  ['tags', 'tags', `'x'`, null],
];

const SCHEMA = `
CREATE EXTENSION citext;
CREATE TYPE mood AS ENUM ('sad');
CREATE DOMAIN tags AS text[];
CREATE TABLE held (id integer PRIMARY KEY, n integer, ${ARRAYS.map(([name, type]) => `${name} ${type}`).join(', ')});
${ARRAYS.map(([name]) => `ALTER TABLE held ALTER ${name} SET STORAGE EXTERNAL;`).join('\n')}
CREATE TABLE held_full (LIKE held INCLUDING ALL);
ALTER TABLE held_full REPLICA IDENTITY FULL;
CREATE PUBLICATION arrays FOR TABLE held, held_full;`;

const large = ARRAYS.map(
  ([name, type, element]) => `array_fill((ARRAY[${element}]::${type})[1], ARRAY[4000]) AS ${name}`,
).join(', ');

const isOf = (op: string, value: string | null): boolean =>
  value?.includes(`"op":"${op}"`) === true;

describe.each(['bytes', 'hex'] as const)('binary.handling.mode=%s', (binary) => {
  const modes = { ...DEBEZIUM_DEFAULTS, binary };
  // That of bytes is no text, which hexadecimal digits are.
  const expected = ARRAYS.map(
    ([name, , , json]) => [name, binary === 'hex' && name === 'byteas' ? null : json] as const,
  );
  const unmarked = expected.filter(([, json]) => json === null).map(([name]) => name);
  const marked = expected.filter(([, json]) => json !== null);
  let database: TestDatabase;
  let client: pg.Client;
  let debezium: Debezium;
  let tables: readonly SourceTable[];

  beforeAll(async () => {
    database = await createDatabase('arrays');
    client = await connect(database.url, { applicationName: 'banyan-test' });
    await client.query(SCHEMA);
    tables = await readSourceTables(
      client,
      ['held', 'held_full'].map((table) => ({ schema: 'public', table })),
    );
    debezium = await startDebezium({
      ...{ url: database.url, prefix: 'mono', schemas: false, nulls: 'keep' },
      properties: {
        ...{ 'slot.name': database.name, 'publication.name': 'arrays' },
        'publication.autocreate.mode': 'disabled',
        'binary.handling.mode': binary,
      },
    });
    for (const table of ['held', 'held_full'])
      await client.query(`
        INSERT INTO ${table} SELECT 1, 1, ${large};
        UPDATE ${table} SET n = 2 WHERE id = 1; DELETE FROM ${table} WHERE id = 1`);
    await debezium.until(({ topic, value }) => topic.endsWith('held_full') && isOf('d', value));
  }, 180_000);

  afterAll(async () => {
    await debezium.stop();
    await client.end();
    await database.drop();
  });

  function updateOf(table: string): InRecord {
    const found = debezium.records.find(
      ({ topic, value }) => topic === `mono.public.${table}` && isOf('u', value),
    );
    if (!found) throw new Error(`no update of ${table}`);
    return { ...found, headers: {} };
  }

  /** As a flow reads it, that needs the columns which `wants` is true of. */
  function read(
    record: InRecord,
    writer: RecordWriter,
    wants: (name: string) => boolean = () => true,
  ): Readonly<Record<string, unknown>> {
    const decoder = createDecoder({
      ...{ layout: 'table', keyChanges: 'pair', modes, writer },
      tables: ({ table }) => {
        const found = tables.find((one) => one.table === table);
        return found && { ...found, columns: found.columns.filter(({ name }) => wants(name)) };
      },
    });
    const decoded = decoder.decode(record);
    if (decoded.kind !== 'change' || decoded.change.kind !== 'update') throw new Error('no update');
    const { relation, after } = decoded.change;
    return Object.fromEntries(relation.columns.map(({ name }, index) => [name, after[index]]));
  }

  const nothingOf = (names: readonly string[]): object =>
    Object.fromEntries(names.map((name) => [name, undefined]));

  test('the connector has a placeholder for some elements, and writes NULL for the others', () => {
    const { after } = JSON.parse(updateOf('held').value ?? '') as { after: object };
    expect(after).toEqual({ id: 1, n: 2, ...Object.fromEntries(expected) });
  });

  test('a placeholder is read as what was not sent', () => {
    const row = read(updateOf('held'), 'connector', (name) => !unmarked.includes(name));
    expect(row).toStrictEqual({ id: '1', n: '2', ...nothingOf(marked.map(([name]) => name)) });
  });

  test('NULL for what was not sent is refused', () => {
    expect(() => read(updateOf('held'), 'connector')).toThrow('of public.held cannot be read');
    for (const column of unmarked)
      expect(() =>
        read(updateOf('held'), 'connector', (name) => ['id', column].includes(name)),
      ).toThrow(
        expect.objectContaining({
          code: 'FLOW_STOPPED',
          message: expect.stringContaining(
            `column ${column} of public.held cannot be read`,
          ) as unknown,
          hint: expect.stringContaining('REPLICA IDENTITY FULL') as unknown,
        }),
      );
  });

  test('the columns that are refused before any comes are those', () => {
    const refused = tables.map((table) => [
      table.table,
      table.columns
        .filter((one) => unchangedLossOf(table, one, formOf(one.type, modes)))
        .map(({ name }) => name),
    ]);
    expect(Object.fromEntries(refused)).toEqual({ held: unmarked, held_full: [] });
  });

  test('with REPLICA IDENTITY FULL everything is there', async () => {
    const { rows } = await client.query<Record<string, unknown>>({
      text: `SELECT ${large}`,
      types: { getTypeParser: () => (value: string) => value },
    });
    expect(read(updateOf('held_full'), 'connector')).toEqual({ id: '1', n: '2', ...rows[0] });
  });

  test('a record of before the table had it is told by its old row, which is not there', () => {
    const record = updateOf('held_full');
    const json = JSON.parse(record.value ?? '') as { after: object };
    const late = (before: unknown): InRecord => ({
      ...record,
      value: JSON.stringify({ ...json, before, after: { ...json.after, bools: null } }),
    });
    const wants = (name: string): boolean => ['id', 'bools'].includes(name);
    expect(() => read(late(null), 'connector', wants)).toThrow('column bools of public.held_full');
    expect(read(late({ id: 1, bools: null }), 'connector', wants)).toEqual({
      ...{ id: '1', bools: null },
    });
  });

  /** What a relay of ours writes of the same update. */
  function ownRecord(): InRecord {
    const [held] = tables;
    const columns = held?.columns.map(({ name, identity }) => ({ name, key: identity })) ?? [];
    const after = columns.map((_, index) => (index < 2 ? String(index + 1) : undefined));
    const records = createEncoder({
      ...{ prefix: 'mono', database: 'shop', timeline: 1, layout: 'table', modes },
      tables: () => held,
    }).encode(
      {
        head: { xid: 1, commitLsn: 100n, commitMs: 1, origin: undefined },
        changes: [
          {
            ...{ kind: 'update', before: undefined, after },
            relation: { schema: 'public', table: 'held', columns },
          },
        ],
        ...{ size: 1, bytes: 0, firstSeq: 1, endLsn: 110n },
      },
      1,
    );
    const record = records.find(({ topic }) => topic === 'mono.public.held');
    if (!record) throw new Error('no record');
    return record;
  }

  test('a relay of ours writes the same placeholders, and one where the connector has none', () => {
    const record = ownRecord();
    const row = (JSON.parse(record.value ?? '') as { after: object }).after;
    expect(row).toMatchObject(Object.fromEntries(marked));
    expect(read(record, 'relay')).toStrictEqual({
      ...{ id: '1', n: '2' },
      ...nothingOf(ARRAYS.map(([name]) => name)),
    });
  });

  test('a connector whose records have the very form of ours is read with the same care', () => {
    const record = ownRecord();
    const value = record.value?.replace(/("bools":)\[[^\]]*\]/, '$1null') ?? null;
    expect(value).not.toBe(record.value);
    expect(read({ ...record, value }, 'relay')).toMatchObject({ n: '2', bools: null });
    expect(() => read({ ...record, value }, 'connector')).toThrow('column bools of public.held');
  });
});
