import { expect, test } from '@jest/globals';
import type { PathAnswers } from '../answers.ts';
import { beginWatch, goOnWatching, type WatchFacts } from './answer-watch.ts';
import { bucketOf, LATENCY_BUCKETS } from './latencies.ts';
import { chanceOf } from './rise.ts';

function answered(count: number, failed = 0): PathAnswers {
  const latencies = new Array<number>(LATENCY_BUCKETS).fill(0);
  latencies[bucketOf(20)] = count;
  return { answered: count, failed, latencies, worst: undefined };
}

const at = (second: number, canary: PathAnswers, control: PathAnswers): WatchFacts => ({
  ...{ canary, control, earlier: answered(10_000, 100), nowMs: second * 1_000, horizonMs: 300_000 },
  limits: {
    ...{ shadowSamples: 10, mismatchRate: 0.01, confidence: 0.95, conflicts: 0 },
    ...{ canarySamples: 100, p95Factor: 1.5, p95FloorMs: 50, lagMs: 5_000, verifyAgeMs: 60_000 },
  },
});

test('a canary beside which the control hardly answers is judged by what that showed earlier', () => {
  let watch = beginWatch(at(0, answered(0), answered(0)));
  for (let second = 1; second <= 20; second++)
    watch = goOnWatching(watch, at(second, answered(second * 50, second * 20), answered(0)));
  expect(chanceOf(watch.errors)).toBeLessThan(1e-6);
});

test('what both paths share for a moment is seen beside the control, whose answer is waited for', () => {
  let watch = beginWatch(at(0, answered(0), answered(0)));
  const alone = goOnWatching(watch, at(1, answered(40, 40), answered(0)));
  expect(alone).toEqual(watch);
  watch = goOnWatching(alone, at(2, answered(50, 50), answered(50, 50)));
  expect(watch.errors.control).toEqual({ answered: 10_050, against: 150 });
  expect(watch.seen.canary.errors.answered).toBe(50);
});
