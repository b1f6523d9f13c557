import { expect, test } from '@jest/globals';
import { Ejection } from './ejection.ts';

test('three copies without an answer in a row put a candidate out, an answer between them does not', () => {
  const { ejection, copy, told } = staged();
  for (const answered of [false, false, true, false, false]) copy(answered);
  expect(ejection.isOut).toBe(false);
  copy(false);
  expect(ejection.isOut).toBe(true);
  expect(told).toEqual([true]);
});

test('one that is out is asked at its pace, one copy at a time, and is back with its first answer', () => {
  const { ejection, clock, copy, told } = staged();
  for (let n = 0; n < 3; n++) copy(false);
  clock.ms = 999;
  expect(ejection.isOut).toBe(true);
  clock.ms = 1_000;
  expect(ejection.isOut).toBe(false);
  ejection.began();
  clock.ms = 5_000;
  expect(ejection.isOut).toBe(true);
  ejection.ended(false);
  ejection.left();
  clock.ms = 5_999;
  expect(ejection.isOut).toBe(true);
  clock.ms = 6_000;
  copy(true);
  expect(ejection.isOut).toBe(false);
  expect(told).toEqual([true, false]);
});

test('a probe that never asked does not put the next one off', () => {
  const { ejection, clock, copy } = staged();
  for (let n = 0; n < 3; n++) copy(false);
  clock.ms = 1_000;
  ejection.began();
  ejection.left();
  expect(ejection.isOut).toBe(false);
});

function staged(): {
  ejection: Ejection;
  clock: { ms: number };
  copy: (answered: boolean) => void;
  told: boolean[];
} {
  const clock = { ms: 0 };
  const told: boolean[] = [];
  const ejection = new Ejection({
    ...{ failures: 3, probeMs: 1_000, now: () => clock.ms },
    onChange: (isOut) => told.push(isOut),
  });
  const copy = (answered: boolean): void => {
    ejection.began();
    ejection.ended(answered);
    ejection.left();
  };
  return { ejection, clock, copy, told };
}
