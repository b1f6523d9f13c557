import { expect, test } from '@jest/globals';
import { ratioInterval } from './interval.ts';

test('rounds that agree leave no doubt', () => {
  expect(ratioInterval([2, 2, 2, 2], [1, 1, 1, 1])).toEqual({ low: 2, high: 2 });
});

test('what a round has in common does not count as doubt', () => {
  const theirs = [1, 5, 2, 9, 4, 7, 3, 8];
  const { low, high } = ratioInterval(
    theirs.map((figure) => figure * 1.5),
    theirs,
  );
  expect(low).toBeCloseTo(1.5);
  expect(high).toBeCloseTo(1.5);
});

test('the more rounds, the narrower; and what both have in common lies within', () => {
  const noisy = (count: number): number[] =>
    Array.from({ length: count }, (_, nth) => 10 + ((nth * 7) % 11));
  const widthOf = (count: number): number => {
    const { low, high } = ratioInterval(noisy(count), noisy(count).reverse());
    expect(low).toBeLessThanOrEqual(1);
    expect(high).toBeGreaterThanOrEqual(1);
    return high - low;
  };
  expect(widthOf(110)).toBeLessThan(widthOf(11));
});
