import { expect, test } from '@jest/globals';
import { allows, belongsSql } from './row-filter.ts';

test('values are compared as the stream brings them', () => {
  expect(allows(['A', null], 'bpchar')('A  ')).toBe(true);
  expect(allows(['A'], 'text')('A ')).toBe(false);
  expect(allows(['A', null], 'text')(null)).toBe(true);
  expect(allows(['A'], 'text')(null)).toBe(false);
  expect(allows([1], 'numeric')('1.00')).toBe(true);
  expect(allows([10], 'numeric')('10')).toBe(true);
  expect(allows([0], 'integer')('')).toBe(false);
  expect(allows([true], 'boolean')('t')).toBe(true);
  expect(allows([false], 'boolean')('t')).toBe(false);
  expect(allows(['t'], 'text')('t')).toBe(true);
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
