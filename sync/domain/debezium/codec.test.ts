import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { SAMPLED } from '../../../test/support/pg-types.ts';
import type { Piece, Relation, Tuple, Value } from '../change.ts';
import { createDecoder, type Decoded } from './decoder.ts';
import { createEncoder, EXACT_MODES } from './encoder.ts';
import type { OutRecord } from './out-record.ts';
import { formOf } from './forms.ts';
import { lossOf, nullLossOf } from './losses.ts';
import { DEBEZIUM_DEFAULTS, UNAVAILABLE, type Modes, type SourceTable } from './source.ts';

const NAMES = Object.keys(SAMPLED);

const table: SourceTable = {
  ...{ schema: 'shop', table: 'things', identity: 'default' },
  columns: [
    { name: 'id', type: { name: 'int8', typmod: -1 }, keyPlace: 1, identity: true, notNull: true },
    ...Object.entries(SAMPLED).map(([name, { type }]) => ({
      ...{ name, type, identity: false, notNull: false },
    })),
  ],
};
const relation: Relation = {
  ...{ schema: 'shop', table: 'things' },
  columns: table.columns.map(({ name, identity }) => ({ name, key: identity })),
};
const tables = ({ table: name }: { table: string }): SourceTable | undefined =>
  name === 'things' ? table : undefined;

const head = { xid: 731, commitLsn: 0x16b3748n, commitMs: 1_700_000_000_123, origin: 'erp' };

const piece = (...changes: Piece['changes']): Piece => ({
  ...{ head, changes, size: changes.length, bytes: 0, firstSeq: 1, endLsn: 0x16b3778n },
});

interface Way {
  readonly layout: 'changes' | 'table';
  readonly schemas: boolean;
  readonly modes: Partial<Modes>;
}

const encoderOf = ({ layout, schemas, modes }: Way) =>
  createEncoder({ prefix: 'mono', database: 'shop', timeline: 3, layout, schemas, modes, tables });

/** Where the schema tells the form, the decoder need not be told the modes; of a string it does not. */
const toldOf = ({ schemas, modes }: Way): Partial<Modes> =>
  schemas ? { binary: modes.binary ?? 'bytes' } : modes;

const decoderOf = (way: Way) => createDecoder({ tables, layout: way.layout, modes: toldOf(way) });

const WAYS: readonly Way[] = [
  { layout: 'changes', schemas: false, modes: {} },
  { layout: 'changes', schemas: false, modes: { decimals: 'precise', temporals: 'nanoseconds' } },
  ...(['precise', 'string'] as const).flatMap((decimals) =>
    (['adaptive', 'adaptive_time_microseconds', 'microseconds', 'isostring'] as const).flatMap(
      (temporals) =>
        [true, false].map((schemas): Way => ({
          layout: 'table',
          schemas,
          modes: { decimals, temporals, intervals: 'string' },
        })),
    ),
  ),
  { layout: 'table', schemas: true, modes: { hstore: 'map', intervals: 'string' } },
  ...[true, false].map((schemas): Way => ({
    ...{ layout: 'table', schemas },
    modes: { binary: 'hex', hstore: 'map', intervals: 'string' },
  })),
];

const nameOf = (way: Way): string =>
  `${way.layout}${way.schemas ? ', with schemas' : ''}, ${JSON.stringify(way.modes)}`;

const rows: fc.Arbitrary<Tuple> = fc
  .tuple(
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
    ...Object.values(SAMPLED).map(({ text }) => fc.option(text)),
  )
  .map((values): Tuple => values);

/** Columns of which this way loses something, and what it cannot say: NaN as a decimal of a fixed scale. */
function lostIn({ layout, modes }: Way): ReadonlySet<string> {
  const all: Modes = { ...(layout === 'changes' ? EXACT_MODES : DEBEZIUM_DEFAULTS), ...modes };
  if (all.exact) return new Set();
  return new Set(
    table.columns.filter((one) => lossOf(one, formOf(one.type, all))).map(({ name }) => name),
  );
}

/** The connector leaves out the currency, and as ISO the end of a day is its beginning. */
function plain(name: string, value: Value, { layout, modes }: Way): Value {
  if (layout === 'changes' || !value) return value;
  if (name === 'money') return value.replace(/[$,]/g, '');
  return modes.temporals === 'isostring' && value === '24:00:00' ? '00:00:00' : value;
}

function onlyChange(records: readonly OutRecord[], decode: (record: OutRecord) => Decoded) {
  const decoded = records.map(decode).filter((one) => one.kind === 'change');
  expect(decoded).toHaveLength(1);
  const [only] = decoded;
  if (only?.kind !== 'change') throw new Error('no change');
  return only;
}

describe('what is encoded is decoded to the same texts', () => {
  test.each(WAYS.map((way) => [nameOf(way), way] as const))('%s', (_, way) => {
    const lost = lostIn(way);
    const kept = { ...table, columns: table.columns.filter(({ name }) => !lost.has(name)) };
    const encoder = encoderOf(way);
    const decoder = createDecoder({
      ...{ layout: way.layout, modes: toldOf(way) },
      tables: () => kept,
    });
    fc.assert(
      fc.property(rows, (after) => {
        const records = encoder.encode(piece({ kind: 'insert', relation, after }), 5);
        const { change } = onlyChange(records, (record) => decoder.decode(record));
        if (change.kind !== 'insert') throw new Error('not an insert');
        const expected = relation.columns.flatMap(({ name }, index): [string, Value][] =>
          lost.has(name) ? [] : [[name, plain(name, after[index], way)]],
        );
        const read = change.relation.columns.map(({ name }, index): [string, Value] => [
          name,
          change.after[index],
        ]);
        expect(Object.fromEntries(read)).toEqual(Object.fromEntries(expected));
      }),
      { numRuns: 60 },
    );
  });

  test('nothing is lost in the layout of our own, and the connector loses what it is known to lose', () => {
    expect([...lostIn({ layout: 'changes', schemas: false, modes: {} })]).toEqual([]);
    const numeric: Way = { layout: 'table', schemas: false, modes: {} };
    expect([...lostIn(numeric)]).toEqual([
      'varbit',
      'timetz',
      'interval',
      'lsn',
      'point',
      'monies',
    ]);
    const worst: Way = {
      layout: 'table',
      schemas: false,
      modes: { decimals: 'double', temporals: 'connect' },
    };
    expect([...lostIn(worst)].sort()).toEqual(
      [
        ...lostIn(numeric),
        'amount',
        'whole',
        'numeric',
        'money',
        'time',
        'timestamp',
        'amounts',
        'moments',
      ].sort(),
    );
    expect(NAMES.length).toBeGreaterThan(40);
  });
});

describe('records of our own layout', () => {
  const way = { layout: 'changes', schemas: false, modes: {} } as const;
  const blank = (...first: Value[]): Value[] =>
    relation.columns.map((_, index) => (index < first.length ? first[index] : null));

  test('stand between a begin and an end and say where they are', () => {
    const after = blank('9223372036854775807');
    const [begin, change, end] = encoderOf(way).encode(
      piece({ kind: 'insert', relation, after }),
      5,
    );
    const decoder = decoderOf(way);
    const position = { timeline: 3, commitLsn: head.commitLsn, seq: 1 };
    expect(begin && decoder.decode(begin)).toEqual({ kind: 'begin', xid: 731, position });
    expect(end && decoder.decode(end)).toEqual({
      ...{ kind: 'end', xid: 731, position, endLsn: 0x16b3778n, count: 1 },
    });
    expect(change && decoder.decode(change)).toMatchObject({
      ...{ kind: 'change', position, snapshot: false, part: 0 },
      head: { xid: 731, commitMs: head.commitMs, origin: 'erp', originKnown: true },
      change: { kind: 'insert', after },
    });
  });

  test('keep what was not sent apart from what is NULL', () => {
    const after = blank('1');
    const at = NAMES.indexOf('text') + 1;
    after[at] = undefined;
    const before = blank('2');
    const records = encoderOf(way).encode(piece({ kind: 'update', relation, before, after }), 5);
    const { change } = onlyChange(records, (record) => decoderOf(way).decode(record));
    if (change.kind !== 'update') throw new Error('not an update');
    expect(change.after).toEqual(after);
    expect(change.before?.[0]).toBe('2');
    expect(change.before?.slice(1).every((value) => value === undefined)).toBe(true);
    expect(records[1]?.value).toContain(UNAVAILABLE);
  });

  test('a truncate of several tables is one record, of which a flow sees its own', () => {
    const other: Relation = { schema: 'shop', table: 'others', columns: [] };
    const known = (name: { table: string }): SourceTable =>
      name.table === 'things' ? table : { ...table, table: 'others', columns: [] };
    const encoder = createEncoder({
      ...{ prefix: 'mono', database: 'shop', timeline: 3, layout: 'changes', tables: known },
    });
    const records = encoder.encode(piece({ kind: 'truncate', relations: [other, relation] }), 5);
    expect(records).toHaveLength(3);
    const { change } = onlyChange(records, (record) => decoderOf(way).decode(record));
    expect(change).toMatchObject({ kind: 'truncate', relations: [{ table: 'things' }] });
  });

  test('carry messages, and pass by the tables that nobody asked for', () => {
    const stranger: Relation = { schema: 'shop', table: 'stranger', columns: [] };
    const encoder = createEncoder({
      ...{ prefix: 'mono', database: 'shop', timeline: 3, layout: 'changes' },
      tables: () => ({ ...table, columns: [] }),
    });
    const records = encoder.encode(
      piece(
        { kind: 'message', prefix: 'banyan', content: 'ä"1' },
        { kind: 'insert', relation: stranger, after: [] },
      ),
      5,
    );
    const decoded = records.map((record) => decoderOf(way).decode(record));
    expect(decoded[1]).toMatchObject({
      change: { kind: 'message', prefix: 'banyan', content: 'ä"1' },
    });
    expect(decoded[2]).toMatchObject({ kind: 'foreign', table: 'stranger', position: { seq: 2 } });
  });

  test('an encoder refuses columns that the catalog does not know', () => {
    const grown: Relation = {
      ...relation,
      columns: [...relation.columns, { name: 'new', key: false }],
    };
    expect(() =>
      encoderOf(way).encode(piece({ kind: 'insert', relation: grown, after: [] }), 5),
    ).toThrow('had columns that were not known'.replace('had', 'has'));
  });
});

describe("records of the connector's layout", () => {
  const way = { layout: 'table', schemas: false, modes: {} } as const;
  const row = (id: string): Value[] =>
    relation.columns.map((_, index) => (index === 0 ? id : null));
  const records = encoderOf(way).encode(
    piece(
      { kind: 'update', relation, before: row('1'), after: row('2') },
      { kind: 'delete', relation, before: row('2') },
    ),
    5,
  );
  const things = records.filter(({ topic }) => topic === 'mono.shop.things');

  test('a change of key is a delete, a tombstone and a create that name each other', () => {
    expect(
      things
        .slice(0, 3)
        .map(({ key, value, headers }) => [key, value?.match(/"op":"(.)"/)?.[1], headers]),
    ).toEqual([
      ['{"id":1}', 'd', { 'banyan.position': '3/0/16B3748/1', '__debezium.newkey': '{"id":2}' }],
      [
        ...['{"id":1}', undefined],
        {
          'banyan.position': '3/0/16B3748/1',
          'banyan.part': '1',
          '__debezium.newkey': '{"id":2}',
        },
      ],
      [
        ...['{"id":2}', 'c'],
        { 'banyan.position': '3/0/16B3748/1', 'banyan.part': '2', '__debezium.oldkey': '{"id":1}' },
      ],
    ]);
    expect(things.slice(3).map(({ key, value }) => [key, value === null])).toEqual([
      ['{"id":2}', false],
      ['{"id":2}', true],
    ]);
  });

  test('it is read as one update where the order of all rows is kept', () => {
    const decoder = createDecoder({ tables, layout: 'table', keyChanges: 'update' });
    const changes = things.map((record) => decoder.decode(record));
    expect(changes.map(({ kind }) => kind)).toEqual([
      'other',
      'tombstone',
      'change',
      'change',
      'tombstone',
    ]);
    expect(changes[2]).toMatchObject({
      change: { kind: 'update', before: { 0: '1' }, after: { 0: '2' } },
    });
  });

  test('a message of our own is for every partition, any other has its topic', () => {
    const [, own, other] = encoderOf(way).encode(
      piece(
        { kind: 'message', prefix: 'banyan', content: 'x' },
        { kind: 'message', prefix: 'theirs', content: 'y' },
      ),
      5,
    );
    expect(own).toMatchObject({ topic: '', key: null, headers: { 'banyan.message': '1' } });
    expect(other).toMatchObject({ topic: 'mono.message', key: '{"prefix":"theirs"}' });
  });

  test('where the key does not tell the row, or a header cannot be read, it stays a pair', () => {
    const whole = { ...table, identity: 'full' } as const;
    const columns = table.columns.map((column) => ({ ...column, identity: true }));
    const full = createDecoder({
      ...{ layout: 'table', keyChanges: 'update', tables: () => ({ ...whole, columns }) },
    });
    const merging = createDecoder({ tables, layout: 'table', keyChanges: 'update' });
    const simple = ({ headers, ...record }: OutRecord): OutRecord => {
      const { '__debezium.newkey': newKey, '__debezium.oldkey': oldKey } = headers;
      return {
        ...record,
        headers: {
          ...(newKey !== undefined && { '__debezium.newkey': 'Struct{id=2}' }),
          ...(oldKey !== undefined && { '__debezium.oldkey': 'Struct{id=1}' }),
        },
      };
    };
    for (const decoded of [
      things.map((record) => full.decode(record)),
      things.map((record) => merging.decode(simple(record))),
    ])
      expect(decoded.slice(0, 3)).toMatchObject([
        { change: { kind: 'delete' } },
        { kind: 'tombstone' },
        { change: { kind: 'insert' } },
      ]);
  });

  test('a row that was read in a snapshot is an insert that says so', () => {
    const [, record] = encoderOf(way).encode(
      piece({ kind: 'insert', relation, after: row('1') }),
      5,
    );
    const read = record && {
      ...record,
      headers: {},
      value: record.value?.replace('"op":"c"', '"op":"r"') ?? null,
    };
    expect(read && decoderOf(way).decode(read)).toMatchObject({
      ...{ kind: 'change', snapshot: true, position: undefined },
      change: { kind: 'insert', after: { 0: '1' } },
    });
  });

  test('a connector that says no origin is known by it', () => {
    const [, record] = encoderOf(way).encode(
      piece({ kind: 'insert', relation, after: row('1') }),
      5,
    );
    const old = record && {
      ...record,
      value: record.value?.replace('"origin":"erp",', '') ?? null,
    };
    expect(old && decoderOf(way).decode(old)).toMatchObject({ head: { originKnown: false } });
  });

  test('a column of which something is lost is refused when it is read, with what to set', () => {
    const modes = { decimals: 'double' } as const;
    const at = NAMES.indexOf('amount') + 1;
    const after = row('1').with(at, '12.50');
    const [, record] = encoderOf({ ...way, modes }).encode(
      piece({ kind: 'insert', relation, after }),
      5,
    );
    const decoder = decoderOf({ ...way, modes });
    expect(() => record && decoder.decode(record)).toThrow(
      expect.objectContaining({
        code: 'FLOW_STOPPED',
        hint: 'Set decimal.handling.mode to string or precise.',
      }),
    );
  });

  test('modes other than the definition says are an error that names the column', () => {
    const at = NAMES.indexOf('timestamp') + 1;
    const after = row('1').with(at, '2024-05-06 07:08:09');
    const [, record] = encoderOf({ ...way, modes: { temporals: 'isostring' } }).encode(
      piece({ kind: 'insert', relation, after }),
      5,
    );
    const strange = record && {
      ...record,
      value: record.value?.replace('2024-05-06T', 'soon ') ?? null,
    };
    expect(() => strange && decoderOf(way).decode(strange)).toThrow(
      'column timestamp of shop.things',
    );
  });

  test.each([
    ['of mode double', '12.5'],
    ['of mode string', '"12.50"'],
    ['of no mode', '{"value":7}'],
  ])('a decimal %s is no decimal of mode precise', (_, json) => {
    const at = NAMES.indexOf('amount') + 1;
    const after = row('1').with(at, '12.50');
    const [, record] = encoderOf(way).encode(piece({ kind: 'insert', relation, after }), 5);
    const value = record?.value?.replace(/("amount":)"[^"]*"/, `$1${json}`) ?? null;
    const strange = record && { ...record, value };
    expect(value).not.toBe(record?.value);
    expect(() => strange && decoderOf(way).decode(strange)).toThrow(
      expect.objectContaining({
        code: 'FLOW_STOPPED',
        hint: expect.stringContaining("The connector's modes"),
      }),
    );
  });

  test('a nullable column with a default is a finding of its own', () => {
    const [id] = table.columns;
    if (!id) throw new Error('no column');
    expect(nullLossOf({ ...id, notNull: false, defaultText: '5' })?.hint).toContain('replace.null');
    expect(nullLossOf({ ...id, notNull: true, defaultText: '5' })).toBeUndefined();
    expect(nullLossOf({ ...id, notNull: false })).toBeUndefined();
  });

  test('the transaction is counted in a topic of its own', () => {
    const last = records.at(-1);
    expect(last?.topic).toBe('mono.transaction');
    expect(JSON.parse(last?.value ?? '')).toMatchObject({
      ...{ status: 'END', event_count: 3 },
      data_collections: [{ data_collection: 'shop.things', event_count: 3 }],
    });
  });
});
