import { expect, test } from '@jest/globals';
import { disturbedBy, spansOf } from './stolen.ts';

test('what is under way in a span, or begins within its length after it, is disturbed', () => {
  const isDisturbed = disturbedBy([
    { from: 200, to: 210 },
    { from: 100, to: 110 },
    { from: 105, to: 108 },
  ]);
  expect(
    [
      [90, 100],
      [90, 101],
      [105, 106],
      [119, 121],
      [120, 121],
      [150, 200],
      [215, 300],
      [220, 300],
    ].map(([from = 0, to = 0]) => isDisturbed({ from, to })),
  ).toEqual([false, true, true, true, false, false, true, false]);
});

test('without spans nothing is', () => {
  expect(disturbedBy([])({ from: 0, to: 1e9 })).toBe(false);
});

test('a line that is not written to its end does not count', () => {
  expect(spansOf('1.5\t3\n7\t9\n10\t1')).toEqual([
    { from: 1.5, to: 3 },
    { from: 7, to: 9 },
  ]);
  expect(spansOf('')).toEqual([]);
});
