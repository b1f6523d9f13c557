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

test('reads both cases, and zeros in front', () => {
  expect(parseLsn('16/b374d848')).toBe(0x16b374d848n);
  expect(parseLsn('00000016/B374D848')).toBe(0x16b374d848n);
});

test.each([
  '16-B3',
  '',
  '/',
  '1/',
  '/1',
  '1/2/3',
  '123456789/0',
  '0/123456789',
  'G/0',
  '0/@',
  ' 1/2',
  '1/2 ',
])('refuses %j, which is not an LSN', (text) => {
  expect(() => parseLsn(text)).toThrow(RangeError);
});

test('positions of one transaction differ by seq, and its end is after all of them', () => {
  const at = (commitLsn: bigint, seq: number) => ({ timeline: 1, commitLsn, seq });
  expect(comparePositions(at(5n, 1), at(5n, 2))).toBeLessThan(0);
  expect(comparePositions(at(5n, END_OF_TRANSACTION), at(6n, 0))).toBeLessThan(0);
  expect(comparePositions(at(7n, 3), at(7n, 3))).toBe(0);
});
