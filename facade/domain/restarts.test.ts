import { expect, test } from '@jest/globals';
import { nextRestart } from './restarts.ts';

test('a worker that dies young waits ever longer, up to a limit', () => {
  let failures = 0;
  const delays: number[] = [];
  for (let n = 0; n < 9; n++) {
    const restart = nextRestart(failures, 1_000);
    failures = restart.failures;
    delays.push(restart.delayMs);
  }
  expect(delays).toEqual([100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
});

test('a long life ends the series', () => {
  expect(nextRestart(8, 60_000)).toEqual({ failures: 1, delayMs: 100 });
});
