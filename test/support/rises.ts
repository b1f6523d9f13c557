// Rollouts in simulated time, a look a second at answers that are drawn: what the test for a rise (control/domain/rise.ts)
// finds, how soon, and how often where there is nothing to be found. Seeds are fixed.
import {
  chanceOf,
  lookForRise,
  noRise,
  type Counted,
  type RiseSettings,
} from '../../control/domain/rise.ts';
import { shareOf } from '../../control/domain/step-shares.ts';

const { floor, imul } = Math;

/** What a rollout allows its five steps together, for errors. */
const ALPHA = 0.0008;
const STEPS = [5, 25, 50, 100];
const alphaOf = (weight: number): number => ALPHA * shareOf(STEPS, { phase: 'canary', weight });
export const BAKE_S = 300;
export const SETTINGS: RiseSettings = { horizonMs: BAKE_S * 1_000 };

/** mulberry32 */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
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
export function redAt(step: Step, random: () => number, seconds = BAKE_S): number | undefined {
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

export const always = (rate: number) => (): number => rate;

/** Whether a whole rollout turns red, at 1 000 reads a second; the last two steps have no control beside them. */
export function rollout(rate: (second: number) => number, random: () => number): boolean {
  return [...STEPS, 100].some((weight) => {
    const known = weight === 100 ? { known: 0.0105 } : {};
    const answered = { canary: weight * 10, control: 1_000 - weight * 10 };
    const step = { weight, ...answered, canaryRate: rate, controlRate: rate, ...known };
    return redAt(step, random) !== undefined;
  });
}

export const quantile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[floor(values.length * share)] ?? Infinity;

/** Seconds from the beginning of a rise from 1 % to 3 % to red, over seeds. */
export function delays(
  from: number,
  control: number,
  runs: number,
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
