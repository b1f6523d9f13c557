// Records of our own form are read without looking at all of them, and say what a reader of any JSON finds
// in them; whatever looks otherwise is left to that one.
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { SAMPLED } from '../../../test/support/pg-types.ts';
import type { Change, Piece, Relation, Tuple } from '../change.ts';
import { fromMicros } from './calendar.ts';
import { createDecoder, type Decoded } from './decoder.ts';
import { createEncoder, EXACT_MODES } from './encoder.ts';
import { Digits, readJson } from './json-text.ts';
import type { OutRecord } from './out-record.ts';
import { OwnForm } from './own-form.ts';
import { RowReader } from './row-reader.ts';
import type { SourceTable } from './source.ts';

const table: SourceTable = {
  ...{ schema: 'shop', table: 'things', identity: 'default' },
  columns: [
    { name: 'id', type: { name: 'int8', typmod: -1 }, keyPlace: 1, identity: true, notNull: true },
    // Names that a row or a record uses for something else.
    ...['source', 'op"', '__proto__'].map((name) => ({
      ...{ name, type: { name: 'text', typmod: -1 }, identity: name === 'source', notNull: false },
    })),
    ...Object.entries(SAMPLED).map(([name, { type }]) => ({
      ...{ name, type, identity: false, notNull: false },
    })),
  ],
};
const relation: Relation = {
  ...{ schema: 'shop', table: 'things' },
  columns: table.columns.map(({ name, identity }) => ({ name, key: identity })),
};

/** What tells the end of the rows, as text in one. */
const TRAPS = [
  ',"source":{"version":"1"},"op":"c"}',
  '"},"source":{"version":"banyan","connector":"postgresql"',
  '\\',
  '{"before":null,"after":',
];
const text = fc.option(
  fc.oneof(
    fc.constantFrom(...TRAPS),
    fc.string({ unit: 'grapheme' }),
    fc.string({ unit: 'binary' }),
  ),
);
const id = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String);
const row: fc.Arbitrary<Tuple> = fc
  .tuple(id, text, text, text, ...Object.values(SAMPLED).map(({ text: one }) => fc.option(one)))
  .map((values): Tuple => values);
/** Some values are stored apart and were not sent. */
const partly: fc.Arbitrary<Tuple> = fc
  .tuple(row, fc.nat({ max: table.columns.length - 1 }))
  .map(([values, unsent]) =>
    values.map((value, at) => (at === unsent && at > 0 ? undefined : value)),
  );
const keyOnly = (tuple: Tuple): Tuple => tuple.map((value, at) => (at < 2 ? value : undefined));
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.oneof(row, partly).map((after): Change => ({ kind: 'insert', relation, after })),
  fc
    .record({ before: fc.option(row, { nil: undefined }), after: partly })
    .map(({ before, after }): Change => ({
      ...{ kind: 'update', relation, after },
      before: before && keyOnly(before),
    })),
  row.map((before): Change => ({ kind: 'delete', relation, before: keyOnly(before) })),
);
const head = fc.record({
  xid: fc.nat(),
  commitLsn: fc.bigInt({ min: 1n, max: 2n ** 63n }),
  commitMs: fc.integer({ min: 1, max: 2 ** 43 }),
  origin: fc.option(fc.constantFrom('erp', 'a "name"', 'pg_16389'), { nil: undefined }),
});

const pieceOf = (of: Piece['head'], ...changes: Change[]): Piece => ({
  ...{ head: of, changes, size: changes.length, bytes: 0, firstSeq: 1, endLsn: of.commitLsn + 8n },
});
const tables = (): SourceTable => table;
const encoderFor = () =>
  createEncoder({ prefix: 'mono', database: 'shop', timeline: 3, layout: 'changes', tables });

/** The same JSON in another form. */
const spaced = (record: OutRecord): OutRecord => ({
  ...record,
  value: record.value === null ? null : ` ${record.value}`,
});

test('whatever is written is read as a reader of any JSON reads it', () => {
  const encoder = encoderFor();
  const decoder = createDecoder({ layout: 'changes', tables });
  const decode = (record: OutRecord): Decoded | string => {
    try {
      return decoder.decode(record);
    } catch (error) {
      return String(error);
    }
  };
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), head, (changes, of) => {
      for (const record of encoder.encode(pieceOf(of, ...changes), 5))
        expect(decode(record)).toEqual(decode(spaced(record)));
    }),
    { numRuns: 60 },
  );
});

test('of our records all are of that form that speak of whole rows, or end a transaction', () => {
  const encoder = encoderFor();
  const form = new OwnForm();
  const reader = new RowReader(table, EXACT_MODES, undefined);
  const plain = head.filter(({ origin }) => origin !== 'a "name"');
  fc.assert(
    fc.property(change, plain, (one, of) => {
      const records = encoder.encode(pieceOf(of, one), 5).map(({ value }) => value ?? '');
      const [begin = '', text = '', end = ''] = records;
      expect(form.mark(begin)).toEqual({ kind: 'begin', xid: of.xid, count: 0 });
      expect(form.mark(end)).toEqual({ kind: 'end', xid: of.xid, count: 1 });
      const found = form.row(text);
      const operation = { insert: 'c', update: 'u', delete: 'd' }[one.kind as 'insert'];
      expect(found).toMatchObject({ schema: 'shop', table: 'things', operation });
      const { xid, commitMs, origin } = of;
      expect(found?.head).toMatchObject({ xid, commitMs, origin, lsn: of.commitLsn });
      const isPart = one.kind === 'insert' && one.after.includes(undefined);
      expect(reader.written(text, found?.operation ?? 'c', found?.end ?? 0) === undefined).toBe(
        isPart,
      );
    }),
    { numRuns: 40 },
  );
});

test('a change of key in two records is left to be merged', () => {
  const two: SourceTable = { ...table, columns: table.columns.filter(({ name }) => name === 'id') };
  const byId: Relation = { ...relation, columns: [{ name: 'id', key: true }] };
  const given = { layout: 'table', tables: () => two } as const;
  const encoder = createEncoder({ ...{ prefix: 'mono', database: 'shop', timeline: 3 }, ...given });
  const decoder = createDecoder({ ...given, keyChanges: 'update' });
  const of = { xid: 1, commitLsn: 9n, commitMs: 1, origin: undefined };
  const moved: Change = { kind: 'update', relation: byId, before: ['1'], after: ['2'] };
  const kinds = encoder
    .encode(pieceOf(of, moved), 5)
    .map((record) => decoder.decode(record))
    .map((one) => (one.kind === 'change' ? one.change.kind : one.kind));
  expect(kinds).toEqual(['begin', 'other', 'tombstone', 'update', 'end']);
});

test('what nobody asks for is not looked at, and what is no JSON where somebody does, is refused', () => {
  const decoder = createDecoder({ layout: 'changes', tables: () => undefined });
  const [begin, one, end] = encoderFor().encode(
    pieceOf(
      { xid: 7, commitLsn: 9n, commitMs: 1, origin: undefined },
      {
        kind: 'delete',
        relation,
        before: table.columns.map((_, at) => (at === 0 ? '1' : undefined)),
      },
    ),
    5,
  );
  if (!begin || !one || !end) throw new Error('three records');
  const altered = (record: OutRecord, from: string, to: string): OutRecord => ({
    ...record,
    value: (record.value ?? '').replace(from, to),
  });
  expect(decoder.decode(altered(end, '"data_collection":', 'anything'))).toMatchObject({
    kind: 'end',
  });
  expect(decoder.decode(altered(one, '{"id":1}', 'anything'))).toMatchObject({ kind: 'foreign' });
  const reading = createDecoder({ layout: 'changes', tables });
  expect(() => reading.decode(altered(one, '{"id":1}', 'anything'))).toThrow('is not JSON');
  expect(() => reading.decode(altered(one, '"op":"d"', 'anything'))).toThrow('is not JSON');
  expect(() => reading.decode(altered(begin, '"status":"BEGIN"', '"status":BEGIN'))).toThrow(
    'is not JSON',
  );
});

const NUMBERS = [
  '0',
  '-0',
  '7',
  '-12',
  '9007199254740993',
  '1.5',
  '-0.25',
  '1e5',
  '2E-7',
  '10',
  '100',
];

test.each(NUMBERS)('the digits of %s are kept', (digits) => {
  expect(readJson(digits)).toEqual(new Digits(digits));
  expect(readJson(`[${digits}]`)).toEqual([new Digits(digits)]);
});

test.each(['01', '-', '1.', '.5', '1e', '+1', '--1', '1a', '-a'])('%s is no number', (digits) => {
  expect(() => readJson(digits)).toThrow('is not JSON');
});

test('a count of microseconds is the day and what is over, wherever it lies', () => {
  const day = 86_400_000_000n;
  const near = fc
    .tuple(fc.bigInt({ min: -110_000n, max: 110_000n }), fc.bigInt({ min: -3n, max: 3n }))
    .map(([days, more]) => days * day + more);
  const any = fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n });
  fc.assert(
    fc.property(fc.oneof(near, any), (count) => {
      const { days, micros } = fromMicros(String(count));
      expect(micros).toBeGreaterThanOrEqual(0);
      expect(micros).toBeLessThan(Number(day));
      expect(BigInt(days) * day + BigInt(micros)).toBe(count);
    }),
    { numRuns: 500 },
  );
});
