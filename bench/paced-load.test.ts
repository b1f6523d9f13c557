import { expect, test } from '@jest/globals';
import { resultOf } from './paced-load.ts';

test('answers count from the end of the warm-up on, as long as all connections ask; what is no 200, or is missing, has failed', () => {
  const log = [
    '1000000\t200\t1500',
    '1500000\t200\t2500',
    '1600000\t503\t10',
    '2000000\t200\t500',
    '9000000\t200\t1',
  ];
  expect(resultOf(`${log.join('\n')}\n`, 6, { warmMs: 500, ms: 2_000 }, '')).toEqual({
    failed: 2,
    answers: [
      { from: 1_500, to: 1_502.5 },
      { from: 2_000, to: 2_000.5 },
    ],
  });
});

test('without any answer it tells what h2load said', () => {
  expect(() => resultOf('', 5, { warmMs: 500, ms: 2_000 }, 'connection refused')).toThrow(
    'connection refused',
  );
});
