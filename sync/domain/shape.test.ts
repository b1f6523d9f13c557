import { expect, test } from '@jest/globals';
import { altered, gap, repartitioned, type Shape } from './shape.ts';

const shape = (columns: Record<string, string>, oid = 1, member = 1) => ({
  ...{ oid, member, columns },
});

test.each([
  ['integer', 'bigint'],
  ['character varying(20)', 'character varying(40)'],
  ['character varying(20)', 'text'],
  ['numeric(12,2)', 'numeric(14,2)'],
  ['integer', 'integer'],
])('from %s to %s every value stays what it was', (from, into) => {
  expect(altered(shape({ a: from }), shape({ a: into }))).toBeUndefined();
});

test.each([
  ['bigint', 'integer'],
  ['numeric(12,2)', 'numeric(12,1)'],
  ['numeric(12,2)', 'integer'],
  ['text', 'character varying(3)'],
  ['timestamp with time zone', 'timestamp without time zone'],
  ['integer', 'text'],
  ['text', 'jsonb'],
])('from %s to %s rows must be read again', (from, into) => {
  expect(altered(shape({ a: from }), shape({ a: into }))).toContain(`a (${into}, was ${from})`);
});

test('a wider type is the same only where the rows were left alone', () => {
  const wider = (file: number): Shape => ({ ...shape({ a: 'numeric(14,2)' }), file });
  const before = { ...shape({ a: 'numeric(12,2)' }), file: 7 };
  expect(altered(before, wider(7))).toBeUndefined();
  expect(altered(before, wider(8))).toContain('a (numeric(14,2), was numeric(12,2))');
  // VACUUM FULL, say.
  expect(altered(before, { ...before, file: 8 })).toBeUndefined();
});

test('another column of the same name, and a publication that left kinds of changes out', () => {
  const before = { ...shape({ a: 'text', b: 'text' }), numbers: { a: 1, b: 2 }, publication: 5 };
  expect(altered(before, before)).toBeUndefined();
  expect(altered(before, { ...before, numbers: { a: 2, b: 1 } })).toBe(
    'has another column under the name of a, b',
  );
  expect(altered(before, { ...before, publication: 6 })).toContain('published otherwise');
  // What was noted before these were is no reason.
  expect(altered(shape({ a: 'text', b: 'text' }), before)).toBeUndefined();
});

test('another table of the same name must be read anew; a further column need not', () => {
  expect(altered(shape({ a: 'text' }, 1), shape({ a: 'text' }, 2))).toBe('was replaced');
  expect(altered(shape({}, 1, 1), shape({}, 1, 2))).toContain('published otherwise');
  expect(altered(shape({ a: 'text' }), shape({ a: 'text', b: 'json' }))).toBeUndefined();
});

const parts = (all: Record<string, [file: number, since: number, born: number]>): Shape => ({
  ...shape({}),
  partitions: Object.fromEntries(
    Object.entries(all).map(([number, [file, since, born]]) => [
      number,
      { file, since, born, command: 1 },
    ]),
  ),
});

test.each([
  ['lost', parts({ 1: [1, 5, 5] }), /lost a partition/],
  ['truncated', parts({ 1: [1, 5, 5], 2: [9, 6, 6] }), /truncated or rewritten/],
  ['taken off and put back', parts({ 1: [1, 5, 5], 2: [2, 7, 6] }), /was a table of its own/],
  ['put in', parts({ 1: [1, 5, 5], 2: [2, 6, 6], 3: [3, 9, 8] }), /was a table of its own/],
  ['made as one', parts({ 1: [1, 5, 5], 2: [2, 6, 6], 3: [3, 9, 9] }), undefined],
  ['made of partitions', parts({ 1: [1, 5, 5], 2: [2, 6, 6], 3: [0, 9, 9] }), undefined],
  ['made and truncated', parts({ 1: [1, 5, 5], 2: [2, 6, 6], 3: [4, 9, 9] }), /truncated/],
  ['no table of any', shape({}), undefined],
])('a partition that is %s', (_, now, why) => {
  const before = parts({ 1: [1, 5, 5], 2: [2, 6, 6] });
  if (why) expect(repartitioned(before, now)).toMatch(why);
  else expect(repartitioned(before, now)).toBeUndefined();
  // What was noted before partitions were is no reason.
  expect(repartitioned(shape({}), now)).toBeUndefined();
});

test.each([
  [undefined, /not in it/],
  [{ columns: ['a'], filter: null, without: [] }, /without column b/],
  [{ columns: ['a', 'b'], filter: '(a > 1)', without: [] }, /filtered by \(a > 1\)/],
  [{ columns: ['a', 'b'], filter: null, without: ['delete'] }, /without its delete/],
])('a publication that leaves something out is a gap', (published, why) => {
  expect(gap(shape({ a: 'text', b: 'text' }), published)).toMatch(why);
});

test('a publication with all columns is none', () => {
  const published = { columns: ['a', 'b', 'c'], filter: null, without: [] };
  expect(gap(shape({ a: 'text', b: 'text' }), published)).toBeUndefined();
});
