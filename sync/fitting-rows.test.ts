import { expect, test } from '@jest/globals';
import { FittingRows } from './fitting-rows.ts';

const rows = (count: number, bytes: number): string[][] =>
  Array.from({ length: count }, () => ['x'.repeat(bytes), '']);

test('short rows come to be read as many at once as is asked for, long ones as few as fit', () => {
  const size = new FittingRows(1_000);
  for (const wanted of [50, 200, 800, 1_000, 1_000]) {
    expect(size.rows).toBe(wanted);
    size.took(rows(wanted, 100));
  }
  expect(FittingRows.isFull(size.took(rows(50, 1_048_576)))).toBe(true);
  expect(size.rows).toBe(8);
  size.took(rows(8, 100));
  expect(size.rows).toBe(32);
  size.took(rows(1, 20_000_000));
  expect(size.rows).toBe(1);
});

test('rows that are not there say nothing of others, and no more than asked for are read', () => {
  const size = new FittingRows(7);
  expect(size.rows).toBe(7);
  size.took([]);
  expect(size.rows).toBe(7);
  expect(FittingRows.isFull(size.took(rows(7, 10)))).toBe(false);
});
