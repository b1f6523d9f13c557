// Simulated time: a step of a rollout is a look a second. Seeds are fixed; RUNS=5000 takes more of them.
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { chanceOf, lookForRise, noRise, type Counted, type RiseSettings } from './rise.ts';

const RUNS = Number(process.env['RUNS'] ?? 1_000);
/** What a rollout allows its five steps together, for errors. */
const ALPHA = 0.0008;
const BAKE_S = 300;
const SETTINGS: RiseSettings = { horizonMs: BAKE_S * 1_000 };

/** mulberry32 */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** So many of `answered` at this rate, by inversion. */
function draw(answered: number, rate: number, random: () => number): Counted {
  let term = (1 - rate) ** answered;
  let left = random() - term;
  let against = 0;
  for (; left > 0 && against < answered; against++) {
    term *= ((answered - against) / (against + 1)) * (rate / (1 - rate));
    left -= term;
  }
  return { answered, against };
}

interface Step {
  readonly canary: number;
  readonly control: number;
  /** At a second of the step. */
  readonly canaryRate: (second: number) => number;
  readonly controlRate: (second: number) => number;
  readonly known?: number;
}

/** The second in which the step turns red; undefined when it never does. */
function redAt(step: Step, random: () => number, seconds = BAKE_S): number | undefined {
  let state = noRise();
  for (let second = 1; second <= seconds; second++) {
    const control = draw(step.control, step.controlRate(second), random);
    const canary = draw(step.canary, step.canaryRate(second), random);
    const look = { canary, control, elapsedMs: 1_000 };
    state = lookForRise(state, look, { ...SETTINGS, known: step.known });
    if (chanceOf(state) <= ALPHA / 5) return second;
  }
  return undefined;
}

const always = (rate: number) => (): number => rate;

/** A whole rollout at 1 000 reads a second; the last two steps have no control beside them. */
function rollout(rate: (second: number) => number, random: () => number): boolean {
  return [50, 250, 500, 1_000, 1_000].some((canary) => {
    const known = canary === 1_000 ? { known: 0.0105 } : {};
    return (
      redAt(
        { canary, control: 1_000 - canary, canaryRate: rate, controlRate: rate, ...known },
        random,
      ) !== undefined
    );
  });
}

test('of a thousand rollouts of a service that fails as its monolith does, at most one is rolled back', () => {
  let red = 0;
  for (let seed = 1; seed <= RUNS; seed++) if (rollout(always(0.01), randomOf(seed))) red += 1;
  expect(red).toBeLessThanOrEqual(RUNS / 1_000);
}, 120_000);

test('not even when both fail more for a while, as when they share what fails', () => {
  const incident = (second: number): number => (second > 100 && second < 130 ? 0.2 : 0.01);
  let red = 0;
  for (let seed = 1; seed <= RUNS / 4; seed++) {
    const random = randomOf(seed * 7);
    const step = { canary: 50, control: 950, canaryRate: incident, controlRate: incident };
    if (redAt(step, random) !== undefined) red += 1;
  }
  expect(red).toBeLessThanOrEqual(1);
});

const quantile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length * share)] ?? Infinity;

/** Seconds from the beginning of a rise from 1 % to 3 % to red, over seeds. */
function delays(from: number, control: number, runs = RUNS / 2): number[] {
  return Array.from({ length: runs }, (_, seed) => {
    const random = randomOf(seed * 13 + 5);
    const canaryRate = (second: number): number => (second > from ? 0.03 : 0.01);
    const step = { canary: 50, control, canaryRate, controlRate: always(0.01) };
    return (redAt(step, random, from + 200) ?? Infinity) - from;
  });
}

test('two points more, at 50 requests a second of a thousand, are found within 30 s', () => {
  const found = delays(0, 950);
  expect(quantile(found, 0.5)).toBeLessThanOrEqual(20);
  expect(quantile(found, 0.9)).toBeLessThanOrEqual(30);
});

test('also when they begin in the middle of a step that was clean until then', () => {
  const found = delays(150, 950);
  expect(quantile(found, 0.5)).toBeLessThanOrEqual(25);
  expect(quantile(found, 0.75)).toBeLessThanOrEqual(30);
  expect(Math.min(...found)).toBeGreaterThan(0);
});

test('nor is a step too old for it: a rise is found as well long after the step has baked', () => {
  const found = (horizons: number, runs: number): number =>
    quantile(delays(horizons * BAKE_S, 950, runs), 0.5);
  expect(found(3, RUNS / 20)).toBeLessThanOrEqual(35);
  expect(found(100, RUNS / 100)).toBeLessThanOrEqual(50);
}, 120_000);

test('it never gets easier to see a rise by looking more often: each look has expectation one at most', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 6 }),
      fc.integer({ min: 0, max: 6 }),
      fc.double({ min: 0.01, max: 0.9, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.record({
        answered: fc.integer({ min: 0, max: 500 }),
        share: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
      (canary, control, rate, lower, seen) => {
        const before = noRise({ answered: seen.answered, against: seen.answered * seen.share });
        let expectation = 0;
        for (let a = 0; a <= canary; a++)
          for (let b = 0; b <= control; b++) {
            const after = lookForRise(
              before,
              {
                canary: { answered: canary, against: a },
                control: { answered: control, against: b },
                elapsedMs: 1_000,
              },
              SETTINGS,
            );
            const value =
              1 - after.spent + 0.7 * (after.grown[0] ?? 0) + 0.3 * (after.grown[1] ?? 0);
            expectation += value * chance(a, canary, rate * lower) * chance(b, control, rate);
          }
        return expectation <= 1 + 1e-9;
      },
    ),
  );
});

function chance(k: number, n: number, rate: number): number {
  let ways = 1;
  for (let at = 0; at < k; at++) ways = (ways * (n - at)) / (at + 1);
  return ways * rate ** k * (1 - rate) ** (n - k);
}
