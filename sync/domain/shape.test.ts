import { expect, test } from '@jest/globals';
import { altered, gap } from './shape.ts';

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

test('another table of the same name must be read anew; a further column need not', () => {
  expect(altered(shape({ a: 'text' }, 1), shape({ a: 'text' }, 2))).toBe('was replaced');
  expect(altered(shape({}, 1, 1), shape({}, 1, 2))).toContain('published otherwise');
  expect(altered(shape({ a: 'text' }), shape({ a: 'text', b: 'json' }))).toBeUndefined();
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
