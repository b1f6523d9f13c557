// How the service answers on the canary path, against the monolith on the control path: failures, and
// answers that are slower than the control's p95 allows. Red is only what chance hardly explains; by
// how much is the business of rise.ts. Too few answers are no pass, on either path: where nothing says
// what is usual, nothing is known to be no worse.
import type { Gates } from '../definition.ts';
import {
  KINDS,
  NO_COUNTS,
  plus,
  type Answers,
  type Counts,
  type Kind,
  type PathAnswers,
} from './answers.ts';
import type { GateResult, Verdict } from './gate-result.ts';
import { quantileMs, slowerThan } from './latencies.ts';
import { upperBound } from './proportion.ts';
import { lookForRise, noRise, type Counted } from './rise.ts';

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

/** What chance explains, at most, of how both tests look; one look at the sums where none has gone on beside. */
export interface AnswerWatch {
  readonly errors: number;
  readonly slow: number;
  /** How much of the whole rollout's chance of a false alarm is this step's. */
  readonly share: number;
}

export function answerGates(
  given: Answers,
  limits: Gates,
  watch: AnswerWatch = oneLook(given, limits),
): GateResult[] {
  const { service: canary, monolith: control, earlier } = given;
  const enough = canary.answered >= limits.canarySamples;
  // Those beside it and those before it: whatever tells what is usual.
  const known = control.answered + (earlier?.answered ?? 0) >= limits.canarySamples;
  const verdictOf = (chance: number, alpha: number): Verdict =>
    chance <= alpha * watch.share ? 'fail' : enough && known ? 'pass' : 'inconclusive';
  const figures = figuresOf(given, limits);
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
      figure: figures.errors,
      limit: 'no more than the control',
      ...noteOf(canary, watch.errors),
      ...(!known && {
        remedy: `Let the monolith answer some of the reads (--weight below 100): ${limits.canarySamples} say what is usual`,
      }),
    },
    {
      gate: 'canary p95',
      verdict: verdictOf(watch.slow, ALPHA.slow),
      figure: figures.p95,
      limit: figures.limit,
      ...(figures.isAbove &&
        watch.slow > ALPHA.slow * watch.share && {
          note: 'above the limit, but no more than chance explains so far',
        }),
    },
  ];
}

/** Kind by kind, where the service has answered more than one. */
function figuresOf(
  { service, monolith, earlier }: Answers,
  limits: Gates,
): {
  readonly errors: string;
  readonly p95: string;
  readonly limit: string;
  /** The figure is above the limit, for one kind at least: no verdict, for that is of all answers. */
  readonly isAbove: boolean;
} {
  const answered = KINDS.filter((kind) => service.kinds[kind].answered > 0);
  const kinds = answered.length === 0 ? (['read'] as const) : answered;
  const told = (figure: (canary: Counts, control: Counts) => string): string =>
    kinds
      .map((kind) => {
        const usual = usualOf(monolith.kinds[kind], earlier?.kinds[kind]);
        const prefix = kinds.length === 1 ? '' : `${kind}s `;
        return `${prefix}${figure(service.kinds[kind], usual)}`;
      })
      .join('; ');
  const p95 = (path: Counts): string => describeMs(quantileMs(path.latencies, 0.95));
  return {
    errors: told((canary, control) => `${rate(canary)}, control ${rate(control)}`),
    p95: told((canary, control) => `${p95(canary)}, control ${p95(control)}`),
    limit: told((_, control) => {
      const limitMs = slowLimitMs(control.latencies, limits);
      return limitMs === undefined ? 'nothing to compare with' : `at most ${describeMs(limitMs)}`;
    }),
    isAbove: kinds.some((kind) => {
      const usual = usualOf(monolith.kinds[kind], earlier?.kinds[kind]);
      const limitMs = slowLimitMs(usual.latencies, limits) ?? Infinity;
      return (quantileMs(service.kinds[kind].latencies, 0.95) ?? 0) > limitMs;
    }),
  };
}

/** Answers that took longer than this count as slow; undefined without a control to say so. */
export function slowLimitMs(
  control: readonly number[],
  { p95Factor, p95FloorMs }: Pick<Gates, 'p95Factor' | 'p95FloorMs'>,
): number | undefined {
  const p95 = quantileMs(control, 0.95);
  return p95 === undefined ? undefined : Math.max(p95 * p95Factor, p95 + p95FloorMs);
}

export function errorsOf({ answered, failed }: Counts): Counted {
  return { answered, against: failed };
}

export function slowOf({ answered, latencies }: Counts, limitMs: number): Counted {
  return { answered, against: slowerThan(latencies, limitMs) };
}

/** The control, together with what it showed earlier where that beside is too little to say. */
export function usualOf(control: Counts, earlier: Counts | undefined): Counts {
  return !earlier || control.answered >= TELLS_P95 ? control : plus(control, earlier);
}

/** The rate that a control which does not run beside had at most. */
export function boundOf({ failed, answered }: Counts): number {
  return upperBound(failed, answered, SURE);
}

/**
 * Whoever looks once looks at the sums of each step, one after the other, as if it had been there: what was
 * the same for both paths in a step says nothing, and a rise may have begun with any of them.
 */
function oneLook(given: Answers, limits: Gates): AnswerWatch {
  const seen = KINDS.filter((kind) => given.service.kinds[kind].answered > 0);
  const made = seen.map((kind) => lookAtKind(given, kind, limits));
  const chance = (test: 'errors' | 'slow'): number => {
    const mean = made.reduce((sum, one) => sum + one[test], 0) / Math.max(made.length, 1);
    return Math.min(1, 1 / mean);
  };
  return { errors: chance('errors'), slow: chance('slow'), share: 1 };
}

/** What each test's martingale has come to. */
function lookAtKind(
  { monolith, service, earlier, steps = [{ monolith, service }] }: Answers,
  kind: Kind,
  limits: Gates,
): { readonly errors: number; readonly slow: number } {
  // What is expected of the control is what it shows: it is one and the same look.
  const usual = usualOf(monolith.kinds[kind], earlier?.kinds[kind]);
  const limitMs = slowLimitMs(usual.latencies, limits);
  const walk = (
    of: (path: Counts) => Counted,
    known: (control: Counts, before: Counts) => number | undefined,
  ): number => {
    let state = noRise(of(usual));
    let before = earlier?.kinds[kind] ?? NO_COUNTS;
    for (const step of steps) {
      const control = step.monolith.kinds[kind];
      const look = { canary: of(step.service.kinds[kind]), control: of(control), elapsedMs: 1 };
      const settings = { horizonMs: steps.length, known: known(control, before) };
      state = lookForRise(state, look, settings);
      before = plus(before, control);
    }
    return state.value;
  };
  // Beside a control that answers, its own rate is what counts.
  const boundBefore = (control: Counts, before: Counts): number | undefined =>
    control.answered === 0 && before.answered > 0 ? boundOf(before) : undefined;
  return {
    errors: walk(errorsOf, boundBefore),
    slow:
      limitMs === undefined
        ? 1
        : walk(
            (path) => slowOf(path, limitMs),
            () => SLOW_SHARE,
          ),
  };
}

function noteOf({ worst }: PathAnswers, chance: number): { note?: string } {
  if (!worst) return {};
  const odds = chance < 0.1 ? `; chance explains it once in ${Math.round(1 / chance)} at most` : '';
  return { note: `most at ${worst.route} (${worst.failed} of ${worst.answered})${odds}` };
}

function rate({ answered, failed }: Counts): string {
  if (answered === 0) return 'none answered';
  return `${((100 * failed) / answered).toFixed(2)} % of ${answered}`;
}

function describeMs(ms: number | undefined): string {
  if (ms === undefined) return 'unknown';
  return Number.isFinite(ms) ? `${ms.toFixed(ms < 10 ? 1 : 0)} ms` : 'above 15 s';
}
