import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { comparePositions, END_OF_TRANSACTION, formatLsn, parseLsn } from './lsn.ts';

test('an LSN survives the way into text and back', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), (lsn) => {
      expect(parseLsn(formatLsn(lsn))).toBe(lsn);
    }),
  );
});

test('refuses what is not an LSN', () => {
  expect(() => parseLsn('16-B3')).toThrow(RangeError);
});

test('positions of one transaction differ by seq, and its end is after all of them', () => {
  const at = (commitLsn: bigint, seq: number) => ({ timeline: 1, commitLsn, seq });
  expect(comparePositions(at(5n, 1), at(5n, 2))).toBeLessThan(0);
  expect(comparePositions(at(5n, END_OF_TRANSACTION), at(6n, 0))).toBeLessThan(0);
  expect(comparePositions(at(7n, 3), at(7n, 3))).toBe(0);
});
