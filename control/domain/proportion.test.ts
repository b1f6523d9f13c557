import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { cleanTrialsFor, upperBound } from './proportion.ts';

/** Chance of at most `failures`, term by term from nothing. */
function cumulative(failures: number, trials: number, rate: number): number {
  let term = (1 - rate) ** trials;
  let sum = term;
  for (let k = 1; k <= failures; k++) {
    term *= ((trials - k + 1) / k) * (rate / (1 - rate));
    sum += term;
  }
  return sum;
}

test('without a failure it is what the rule of three rounds', () => {
  for (const trials of [100, 1_000, 10_000])
    expect(upperBound(0, trials, 0.95)).toBeCloseTo(2.9957 / trials, 3);
  expect(upperBound(0, 100, 0.95)).toBeCloseTo(0.0295, 4);
});

test('the bounds are those of the published tables', () => {
  // One-sided 95 % limits are the two-sided 90 % ones of Clopper and Pearson.
  expect(upperBound(1, 10, 0.95)).toBeCloseTo(0.3942, 3);
  expect(upperBound(5, 50, 0.95)).toBeCloseTo(0.1991, 3);
  expect(upperBound(1, 100, 0.95)).toBeCloseTo(0.0466, 4);
});

test('under the bound so few failures have exactly the chance that is left', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 200 }),
      fc.double({ min: 0, max: 0.8, noNaN: true }),
      fc.constantFrom(0.9, 0.95, 0.99, 0.999),
      (trials, share, confidence) => {
        const failures = Math.floor(share * trials);
        const bound = upperBound(failures, trials, confidence);
        const chance = cumulative(failures, trials, bound);
        return Math.abs(chance - (1 - confidence)) < 1e-6;
      },
    ),
  );
});

test('more failures raise it, more trials lower it, and it never is below the observed rate', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 100_000 }),
      fc.integer({ min: 0, max: 500 }),
      (trials, some) => {
        const failures = Math.min(some, trials - 1);
        const bound = upperBound(failures, trials, 0.95);
        return (
          bound >= failures / trials &&
          upperBound(failures + 1, trials, 0.95) > bound &&
          upperBound(failures, trials * 2, 0.95) < bound
        );
      },
    ),
  );
});

test('the clean trials that a bound asks for give it', () => {
  for (const rate of [0.001, 0.01, 0.03]) {
    const trials = cleanTrialsFor(rate, 0.95);
    expect(upperBound(0, trials, 0.95)).toBeLessThanOrEqual(rate);
    expect(upperBound(0, trials - 1, 0.95)).toBeGreaterThan(rate);
  }
});
