import { expect, test } from '@jest/globals';
import { beginWatch, goOnWatching, type WatchFacts } from './answer-watch.ts';
import { pathAnswers, type Kind, type PathAnswers } from './answers.ts';
import { bucketOf, LATENCY_BUCKETS } from './latencies.ts';

/** So many answers of each kind, and how many of them failed; reads take 20 ms, writes 400. */
function mixed(kinds: Partial<Record<Kind, readonly [number, number]>>): PathAnswers {
  return pathAnswers(
    (['read', 'write'] as const).map((kind) => {
      const [answered, failed] = kinds[kind] ?? [0, 0];
      const latencies = new Array<number>(LATENCY_BUCKETS).fill(0);
      latencies[bucketOf(kind === 'read' ? 20 : 400)] = answered;
      return { route: `${kind} /a`, kind, answered, failed, latencies };
    }),
  );
}

const answered = (count: number, failed = 0): PathAnswers => mixed({ read: [count, failed] });

const at = (
  second: number,
  canary: PathAnswers,
  control: PathAnswers | undefined,
  more: Partial<WatchFacts> = {},
): WatchFacts => ({
  ...{ canary, control, earlier: answered(10_000, 100), nowMs: second * 1_000, horizonMs: 300_000 },
  kinds: ['read'],
  limits: {
    ...{ shadowSamples: 10, mismatchRate: 0.01, confidence: 0.95, conflicts: 0 },
    ...{ canarySamples: 100, p95Factor: 1.5, p95FloorMs: 50, lagMs: 5_000, verifyAgeMs: 60_000 },
  },
  ...more,
});

test('a canary beside which the control hardly answers is judged by what that showed earlier', () => {
  let watch = beginWatch(at(0, answered(0), answered(0)));
  for (let second = 1; second <= 20; second++)
    watch = goOnWatching(watch, at(second, answered(second * 50, second * 20), answered(0)));
  expect(1 / watch.peaks.errors).toBeLessThan(1e-6);
});

test('what both paths share for a moment is seen beside the control, whose answer is waited for', () => {
  let watch = beginWatch(at(0, answered(0), answered(0)));
  const alone = goOnWatching(watch, at(1, answered(40, 40), answered(0)));
  expect(alone).toEqual(watch);
  watch = goOnWatching(alone, at(2, answered(50, 50), answered(50, 50)));
  expect(watch.kinds.read.errors.control).toEqual({ answered: 10_050, against: 150 });
  expect(watch.kinds.read.seen.canary.errors.answered).toBe(50);
});

/** The cutover: nothing runs beside, and before it the monolith answered `earlier`. */
function cutover(
  earlier: PathAnswers,
  perSecond: Partial<Record<Kind, readonly [number, number]>>,
): { errors: number; slow: number } {
  const facts = { earlier, kinds: ['read', 'write'] as const };
  let watch = beginWatch(at(0, answered(0), undefined, facts));
  for (let second = 1; second <= 60; second++) {
    const times = ([count, failed]: readonly [number, number] = [0, 0]) =>
      [count * second, Math.round(failed * second)] as const;
    const canary = mixed({ read: times(perSecond.read), write: times(perSecond.write) });
    watch = goOnWatching(watch, at(second, canary, undefined, facts));
  }
  return { errors: 1 / watch.peaks.errors, slow: 1 / watch.peaks.slow };
}

test('who answers more writes than before fails more and is slower by that, and is no worse', () => {
  // Writes fail once in twenty on either side; there were few of them before, and are many now.
  const earlier = mixed({ read: [50_000, 50], write: [2_000, 100] });
  const found = cutover(earlier, { read: [50, 0.05], write: [50, 2.5] });
  expect(found.errors).toBeGreaterThan(0.1);
  expect(found.slow).toBeGreaterThan(0.1);
});

test('a service whose reads fail is not hidden by a control that answered mostly writes', () => {
  // Pooled, both fail 2.5 % and more; like with like, reads fail thirty times as often as they did.
  const earlier = mixed({ read: [5_000, 5], write: [5_000, 250] });
  const found = cutover(earlier, { read: [95, 2.85], write: [5, 0.25] });
  expect(found.errors).toBeLessThan(0.0008 / 5);
});

test('nor is a rise in the few writes hidden by many reads that are well', () => {
  const earlier = mixed({ read: [50_000, 50], write: [5_000, 50] });
  const found = cutover(earlier, { read: [95, 0.095], write: [5, 0.5] });
  expect(found.errors).toBeLessThan(0.0008 / 5);
});
