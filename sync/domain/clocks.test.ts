import { expect, test } from '@jest/globals';
import { apartMs, type ClockReading } from './clocks.ts';

const read = (beforeMs: number, serverMs: number, afterMs: number): ClockReading => ({
  ...{ beforeMs, serverMs, afterMs },
});

test('clocks that may agree are not said to differ, however long the reading took', () => {
  expect(apartMs(read(0, 5, 10), read(20, 25, 30))).toBe(0);
  expect(apartMs(read(0, 900, 1_000), read(2_000, 2_100, 3_000))).toBe(0);
});

test('clocks that cannot agree differ at least by what the readings leave', () => {
  expect(apartMs(read(0, 2_005, 10), read(20, 25, 30))).toBe(1_990);
  expect(apartMs(read(20, 25, 30), read(0, 2_005, 10))).toBe(-1_990);
});
