import { expect, test } from '@jest/globals';
import { changesZone, misfit, scaledType } from './widths.ts';

test.each([
  ['integer', 'integer'],
  ['smallint', 'bigint'],
  ['bigint', 'numeric'],
  ['integer', 'numeric(12,2)'],
  ['numeric(9,0)', 'integer'],
  ['numeric(12,2)', 'numeric(12,2)'],
  ['numeric(12,2)', 'numeric(14,4)'],
  ['character varying(20)', 'text'],
  ['character(1)', 'character varying(20)'],
  ['text', 'character varying'],
  ['real', 'double precision'],
  ['integer', 'double precision'],
  ['timestamp(3) with time zone', 'timestamp with time zone'],
  ['timestamp without time zone', 'timestamp without time zone'],
  ['text', 'my_enum'],
  ['jsonb', 'jsonb'],
])('every %s fits into %s', (from, into) => {
  expect(misfit(from, into)).toBeUndefined();
});

test.each([
  ['bigint', 'integer', 'larger'],
  ['numeric', 'bigint', 'fractions'],
  ['numeric(12,2)', 'bigint', 'fractions'],
  ['numeric(12,0)', 'integer', 'larger'],
  ['double precision', 'integer', 'fractions'],
  ['numeric', 'numeric(12,2)', 'rounded to 2'],
  ['numeric(12,4)', 'numeric(12,2)', 'rounded to 2'],
  ['numeric(14,2)', 'numeric(12,2)', 'larger'],
  ['bigint', 'numeric(12,2)', 'larger'],
  ['double precision', 'real', '6 digits'],
  ['bigint', 'double precision', '15 digits'],
  ['numeric(12,2)', 'double precision', '15 digits'],
  ['text', 'character varying(20)', '20 characters'],
  ['character varying(40)', 'character varying(20)', '20 characters'],
  ['timestamp without time zone', 'date', 'time of day'],
  ['timestamp with time zone', 'timestamp(0) with time zone', '0 digits'],
])('not every %s fits into %s: %s', (from, into, why) => {
  expect(misfit(from, into)).toContain(why);
});

test.each([
  ['timestamp without time zone', 'timestamp with time zone', true],
  ['timestamp(3) with time zone', 'timestamp(3) without time zone', true],
  ['time without time zone', 'time(0) with time zone', true],
  ['timestamp with time zone', 'timestamp(0) with time zone', false],
  ['timestamp with time zone', 'date', false],
  ['text', 'timestamp with time zone', false],
])('from %s to %s the zone goes or comes: %s', (from, into, changes) => {
  expect(changesZone(from, into)).toBe(changes);
});

test.each([
  ['numeric(12,2)', 2, 'numeric(12,0)'],
  ['numeric(12,2)', 3, 'numeric(13,0)'],
  ['numeric(12,2)', -2, 'numeric(12,4)'],
  ['numeric(2,2)', -2, 'numeric(4,4)'],
  ['smallint', 2, 'numeric(7,0)'],
  ['integer', -3, 'numeric(10,3)'],
  ['numeric', 2, 'numeric'],
  ['text', 2, 'text'],
  ['double precision', 2, 'double precision'],
])('%s times ten to the %i is a %s', (type, digits, scaled) => {
  expect(scaledType(type, digits)).toBe(scaled);
});
