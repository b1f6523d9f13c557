// Simulated time: a step of a rollout is a look a second. Seeds are fixed; RUNS=5000 takes more of them.
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { chanceOf, lookForRise, noRise, type Counted, type RiseSettings } from './rise.ts';
import { shareOf } from './step-shares.ts';

const RUNS = Number(process.env['RUNS'] ?? 1_000);
/** What a rollout allows its five steps together, for errors. */
const ALPHA = 0.0008;
const STEPS = [5, 25, 50, 100];
const alphaOf = (weight: number): number => ALPHA * shareOf(STEPS, { phase: 'canary', weight });
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
  /** Percent. */
  readonly weight: number;
  readonly canary: number;
  readonly control: number;
  /** What the control showed before. */
  readonly before?: Counted;
  /** At a second of the step. */
  readonly canaryRate: (second: number) => number;
  readonly controlRate: (second: number) => number;
  readonly known?: number;
}

/** The second in which the step turns red; undefined when it never does. */
function redAt(step: Step, random: () => number, seconds = BAKE_S): number | undefined {
  let state = noRise(step.before);
  for (let second = 1; second <= seconds; second++) {
    const control = draw(step.control, step.controlRate(second), random);
    const canary = draw(step.canary, step.canaryRate(second), random);
    const look = { canary, control, elapsedMs: 1_000 };
    state = lookForRise(state, look, { ...SETTINGS, known: step.known });
    if (chanceOf(state) <= alphaOf(step.weight)) return second;
  }
  return undefined;
}

const always = (rate: number) => (): number => rate;

/** A whole rollout at 1 000 reads a second; the last two steps have no control beside them. */
function rollout(rate: (second: number) => number, random: () => number): boolean {
  return [...STEPS, 100].some((weight) => {
    const known = weight === 100 ? { known: 0.0105 } : {};
    const answered = { canary: weight * 10, control: 1_000 - weight * 10 };
    const step = { weight, ...answered, canaryRate: rate, controlRate: rate, ...known };
    return redAt(step, random) !== undefined;
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
    const rates = { canaryRate: incident, controlRate: incident };
    const step = { weight: 5, canary: 50, control: 950, ...rates };
    if (redAt(step, random) !== undefined) red += 1;
  }
  expect(red).toBeLessThanOrEqual(1);
});

const quantile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length * share)] ?? Infinity;

/** Seconds from the beginning of a rise from 1 % to 3 % to red, over seeds. */
function delays(
  from: number,
  control: number,
  runs = RUNS / 2,
  before: Counted = { answered: 0, against: 0 },
): number[] {
  const weight = control === 50 ? 50 : 5;
  return Array.from({ length: runs }, (_, seed) => {
    const random = randomOf(seed * 13 + 5);
    const canaryRate = (second: number): number => (second > from ? 0.03 : 0.01);
    const rates = { canaryRate, controlRate: always(0.01) };
    const step = { weight, canary: 50, control, before, ...rates };
    return (redAt(step, random, from + 200) ?? Infinity) - from;
  });
}

test('two points more, at 50 requests a second of a thousand, are found within 30 s', () => {
  const found = delays(0, 950);
  expect(quantile(found, 0.5)).toBeLessThanOrEqual(20);
  expect(quantile(found, 0.9)).toBeLessThanOrEqual(30);
});

test('and half and half, where the control is as uncertain as the canary, as well', () => {
  const found = delays(0, 50, RUNS / 2, { answered: 20_000, against: 200 });
  expect(quantile(found, 0.5)).toBeLessThanOrEqual(30);
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

test('a look at all that a long absence has gathered is seen for what it is', () => {
  const much = (rate: number): Counted => ({ answered: 2_000_000, against: 2_000_000 * rate });
  const look = (canary: number, control: number): number => {
    const both = { canary: much(canary), control: much(control), elapsedMs: 0 };
    // Whatever was seen before is outweighed, and nothing has begun since.
    const well = { canary: much(0.01), control: much(0.3), elapsedMs: 0 };
    const before = lookForRise(noRise(much(0.01)), well, SETTINGS);
    return lookForRise(before, { ...both, elapsedMs: 1_000 }, SETTINGS).value;
  };
  expect(look(0.03, 0.01)).toBeGreaterThan(1e9);
  expect(look(0.01, 0.01)).toBeLessThanOrEqual(1);
  expect(look(0.01, 0.03)).toBeLessThanOrEqual(1);
});

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
            expectation += after.value * chance(a, canary, rate * lower) * chance(b, control, rate);
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
