import { expect, test } from '@jest/globals';
import { Ejection } from './ejection.ts';

test('three copies without an answer in a row put a candidate out, an answer between them does not', () => {
  const { ejection } = staged();
  for (const answered of [false, false, true, false, false]) ejection.ended(answered);
  expect(ejection.isOut).toBe(false);
  ejection.ended(false);
  expect(ejection.isOut).toBe(true);
});

test('one that is out is asked at its pace, and is back with its first answer', () => {
  const { ejection, clock } = staged();
  for (let n = 0; n < 3; n++) ejection.ended(false);
  clock.ms = 999;
  expect(ejection.isOut).toBe(true);
  clock.ms = 1_000;
  expect(ejection.isOut).toBe(false);
  ejection.began();
  expect(ejection.isOut).toBe(true);
  ejection.ended(false);
  clock.ms = 1_999;
  expect(ejection.isOut).toBe(true);
  clock.ms = 2_000;
  ejection.began();
  ejection.ended(true);
  expect(ejection.isOut).toBe(false);
});

function staged(): { ejection: Ejection; clock: { ms: number } } {
  const clock = { ms: 0 };
  const ejection = new Ejection({ failures: 3, probeMs: 1_000, now: () => clock.ms });
  return { ejection, clock };
}
