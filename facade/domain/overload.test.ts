import { expect, test } from '@jest/globals';
import { isShed, measured, UNLOADED, type Load } from './overload.ts';

const LIMIT = 50;

/** Feeds delays, one every 25 ms, from `startMs` on. */
function fed(load: Load, delays: readonly number[], startMs = 0): Load {
  return delays.reduce((now, delay, nth) => measured(now, delay, startMs + nth * 25, LIMIT), load);
}

test('one long pause means nothing, a delay that stands does', () => {
  expect(fed(UNLOADED, [0, 0, 900, 0, 0, 900, 0]).level).toBe(0);
  expect(fed(UNLOADED, [60, 60, 60]).level).toBe(0);
  expect(fed(UNLOADED, [60, 60, 60, 60]).level).toBe(1);
  expect(fed(UNLOADED, [120, 110, 130, 100]).level).toBe(2);
  expect(fed(UNLOADED, [300, 300, 300, 250]).level).toBe(3);
});

test('it steps down one level a calm second, and not before', () => {
  const loaded = fed(UNLOADED, [300, 300, 300, 300]);
  const calm = Array.from({ length: 39 }, () => 0);
  const almost = fed(loaded, calm, 1_000);
  expect(almost.level).toBe(3);
  const second = fed(almost, [0, 0], 2_000);
  expect(second.level).toBe(2);
  expect(fed(second, [0, ...calm, 0], 2_050).level).toBe(1);
  // A new delay ends the calm.
  expect(fed(almost, [60, 300, 300, 300, 300], 2_000).level).toBe(3);
});

test('what is shed first and last', () => {
  const shed = ([0, 1, 2, 3] as const).map((level) =>
    (['low', 'normal', 'high'] as const).filter((priority) => isShed(level, priority)),
  );
  expect(shed).toEqual([[], [], ['low'], ['low', 'normal']]);
});
