import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { toCents, toDecimal } from './money.ts';

test.each([
  ['0', 0, '0.00'],
  ['12.5', 1250, '12.50'],
  ['0.07', 7, '0.07'],
  ['9999999999.99', 999_999_999_999, '9999999999.99'],
])('takes %s for %d cents and tells it as %s', (decimal, cents, told) => {
  expect(toCents(decimal)).toBe(cents);
  expect(toDecimal(cents)).toBe(told);
});

test('gives back every amount of cents it has told', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 999_999_999_999 }), (cents) => {
      expect(toCents(toDecimal(cents))).toBe(cents);
    }),
  );
});
