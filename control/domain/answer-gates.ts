// How the service answers on the canary path, against the monolith on the control path: failures, and
// answers that are slower than the control's p95 allows. Red is only what chance hardly explains; by
// how much is the business of rise.ts. Too few answers are no pass, on either path: where nothing says
// what is usual, nothing is known to be no worse.
import type { Answers, PathAnswers } from '../answers.ts';
import type { Gates } from '../definition.ts';
import type { GateResult, Verdict } from './gate-result.ts';
import { quantileMs, slowerThan } from './latencies.ts';
import { upperBound } from './proportion.ts';
import { chanceOf, lookForRise, noRise, type Counted, type RiseState } from './rise.ts';

/**
 * Chance that a whole rollout of a service that answers as well as the monolith is rolled back for its
 * answers, at most: for failures, and for slowness.
 */
const ALPHA = { errors: 0.0008, slow: 0.0002 } as const;

/** So many may be slower than p95, by its name. */
export const SLOW_SHARE = 0.05;

/** So many answers say what p95 is. */
export const TELLS_P95 = 100;
/** How sure the bound of the control's rate is, where it does not run beside. */
const SURE = 0.999;

/** Both tests, where they have gone on beside the answers; one look at the sums does without. */
export interface AnswerWatch {
  readonly errors: RiseState;
  readonly slow: RiseState;
  /** Among so many steps the chance is shared out. */
  readonly steps: number;
}

export function answerGates(
  given: Answers,
  limits: Gates,
  watch: AnswerWatch = oneLook(given, limits),
): GateResult[] {
  const { service: canary } = given;
  const control = usualOf(given.monolith, given.earlier);
  const enough = canary.answered >= limits.canarySamples;
  // Those beside it and those before it: whatever tells what is usual.
  const known = given.monolith.answered + (given.earlier?.answered ?? 0) >= limits.canarySamples;
  const verdictOf = (state: RiseState, alpha: number): Verdict =>
    chanceOf(state) <= alpha / watch.steps ? 'fail' : enough && known ? 'pass' : 'inconclusive';
  const limitMs = slowLimitMs(control.latencies, limits);
  const p95 = (path: PathAnswers): string => describeMs(quantileMs(path.latencies, 0.95));
  return [
    {
      gate: 'canary answers',
      verdict: enough ? 'pass' : 'inconclusive',
      figure: `${canary.answered}`,
      limit: `at least ${limits.canarySamples}`,
      ...(!enough && { remedy: 'Give the service a share of the reads (--weight), and wait' }),
    },
    {
      gate: 'canary errors',
      verdict: verdictOf(watch.errors, ALPHA.errors),
      figure: `${rate(canary)}, control ${rate(control)}`,
      limit: 'no more than the control',
      ...noteOf(canary, watch.errors),
      ...(!known && {
        remedy: `Let the monolith answer some of the reads (--weight below 100): ${limits.canarySamples} say what is usual`,
      }),
    },
    {
      gate: 'canary p95',
      verdict: verdictOf(watch.slow, ALPHA.slow),
      figure: `${p95(canary)}, control ${p95(control)}`,
      limit: limitMs === undefined ? 'nothing to compare with' : `at most ${describeMs(limitMs)}`,
    },
  ];
}

/** Answers that took longer than this count as slow; undefined without a control to say so. */
export function slowLimitMs(
  control: readonly number[],
  { p95Factor, p95FloorMs }: Pick<Gates, 'p95Factor' | 'p95FloorMs'>,
): number | undefined {
  const p95 = quantileMs(control, 0.95);
  return p95 === undefined ? undefined : Math.max(p95 * p95Factor, p95 + p95FloorMs);
}

export function errorsOf({ answered, failed }: PathAnswers): Counted {
  return { answered, against: failed };
}

export function slowOf({ answered, latencies }: PathAnswers, limitMs: number): Counted {
  return { answered, against: slowerThan(latencies, limitMs) };
}

/** The control, together with what it showed earlier where that beside is too little to say. */
export function usualOf(control: PathAnswers, earlier: PathAnswers | undefined): PathAnswers {
  if (!earlier || control.answered >= TELLS_P95) return control;
  return {
    answered: control.answered + earlier.answered,
    failed: control.failed + earlier.failed,
    latencies: control.latencies.map((count, at) => count + (earlier.latencies[at] ?? 0)),
    worst: undefined,
  };
}

/** The rate that a control which does not run beside had at most. */
export function boundOf({ failed, answered }: PathAnswers): number {
  return upperBound(failed, answered, SURE);
}

/** Whoever looks once looks at the sums. */
function oneLook(
  { monolith: control, service: canary, earlier }: Answers,
  limits: Gates,
): AnswerWatch {
  const usual = usualOf(control, earlier);
  const limitMs = slowLimitMs(usual.latencies, limits);
  const bound = control.answered === 0 && earlier ? boundOf(earlier) : undefined;
  const look = (of: (path: PathAnswers) => Counted, known?: number): RiseState => {
    // What is expected of the control is what it shows: it is one and the same look.
    const before = noRise(of(usual));
    const sums = { canary: of(canary), control: of(control), elapsedMs: 0 };
    return lookForRise(before, sums, { horizonMs: 1, known });
  };
  return {
    errors: look(errorsOf, bound),
    slow: limitMs === undefined ? noRise() : look((path) => slowOf(path, limitMs), SLOW_SHARE),
    steps: 1,
  };
}

function noteOf({ worst }: PathAnswers, errors: RiseState): { note?: string } {
  if (!worst) return {};
  const chance = chanceOf(errors);
  const odds = chance < 0.1 ? `; chance explains it once in ${Math.round(1 / chance)} at most` : '';
  return { note: `most at ${worst.route} (${worst.failed} of ${worst.answered})${odds}` };
}

function rate({ answered, failed }: PathAnswers): string {
  if (answered === 0) return 'none answered';
  return `${((100 * failed) / answered).toFixed(2)} % of ${answered}`;
}

function describeMs(ms: number | undefined): string {
  if (ms === undefined) return 'unknown';
  return Number.isFinite(ms) ? `${ms.toFixed(ms < 10 ? 1 : 0)} ms` : 'above 15 s';
}
