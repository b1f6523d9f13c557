import { expect, test } from '@jest/globals';
import { allows, belongsSql } from './row-filter.ts';

test('values are compared as the stream brings them', () => {
  expect(allows(['A', null])('A  ')).toBe(true);
  expect(allows(['A', null])(null)).toBe(true);
  expect(allows(['A'])(null)).toBe(false);
  expect(allows([1])('1.00')).toBe(true);
  expect(allows([1])('')).toBe(false);
  expect(allows([0])('')).toBe(false);
  expect(allows([true])('t')).toBe(true);
  expect(allows([true])('true')).toBe(false);
  expect(allows([false, 'x'])('f')).toBe(true);
});

test('a row belongs or not: the condition is never unknown', () => {
  expect(belongsSql([], 't')).toBeUndefined();
  expect(
    belongsSql(
      [
        { column: 'kind', values: ["o'k", true, null] },
        { column: 'n', values: [1, 2] },
      ],
      'NEW',
    ),
  ).toBe(
    `(coalesce(NEW."kind" IS NULL OR NEW."kind"::text IN ('o''k', 'true'), false) AND coalesce(NEW."n" IN (1, 2), false))`,
  );
});
