// What a rollout keeps between two looks at the answers of a step: the sums as they were, and the two
// tests that go on with what has come since (rise.ts). Reads are compared with reads, and writes with writes:
// each kind has tests of its own, and their mean is a test martingale again, which rises with either.
import type { RolloutSettings } from '../rollout-settings.ts';
import type { Gates } from '../definition.ts';
import {
  boundOf,
  errorsOf,
  SLOW_SHARE,
  slowLimitMs,
  slowOf,
  TELLS_P95,
  usualOf,
  type AnswerWatch,
} from './answer-gates.ts';
import { NO_COUNTS, type Counts, type Kind, type PathAnswers } from './answers.ts';
import { lookForRise, noRise, type Counted, type RiseState } from './rise.ts';
import type { Place } from './rollout.ts';
import { shareOf } from './step-shares.ts';

export interface WatchState {
  readonly kinds: Readonly<Record<Kind, KindWatch>>;
  /** The greatest values that the means over the kinds have had. */
  readonly peaks: { readonly errors: number; readonly slow: number };
  /** Since when a gate has been red. */
  readonly redSinceMs: number | null;
  /** Since when one has been that is no lag. */
  readonly failingSinceMs?: number | null;
  /** How long the step had been there when its next move was refused first, of refusals in a row. */
  readonly refusedAtMs?: number | null;
  /** Rows that were copied, and when there were more of them last. */
  readonly copied: { readonly rows: number; readonly atMs: number } | null;
}

interface KindWatch {
  readonly errors: RiseState;
  readonly slow: RiseState;
  /** From where on an answer of this step is slow; unknown until the control has said. */
  readonly slowMs: number | null;
  readonly seen: Sums;
  /** Of the look before, by the control database's clock. */
  readonly lookedAtMs: number;
}

/** Counts of both paths, for both tests. */
interface Sums {
  readonly canary: { readonly errors: Counted; readonly slow: Counted };
  readonly control: { readonly errors: Counted; readonly slow: Counted };
}

export interface WatchFacts {
  readonly canary: PathAnswers;
  /** Of the same time; nothing where all goes to the service. */
  readonly control: PathAnswers | undefined;
  /** What the monolith answered before this step. */
  readonly earlier: PathAnswers;
  /** What both paths may have answered; the same all through a step. */
  readonly kinds: readonly Kind[];
  readonly nowMs: number;
  readonly horizonMs: number;
  readonly limits: Gates;
}

interface KindFacts extends Pick<WatchFacts, 'nowMs' | 'horizonMs' | 'limits'> {
  readonly canary: Counts;
  readonly control: Counts | undefined;
  readonly earlier: Counts;
}

/** So many answers of the canary wait for one of the control that runs beside. */
const MOST_ALONE = 100;

/** A step begins: whatever is counted from now on counts. */
export function beginWatch(facts: WatchFacts): WatchState {
  return {
    kinds: { read: begin(ofKind(facts, 'read')), write: begin(ofKind(facts, 'write')) },
    peaks: { errors: 1, slow: 1 },
    ...{ redSinceMs: null, copied: null },
  };
}

export function goOnWatching(before: WatchState, facts: WatchFacts): WatchState {
  const kinds = { ...before.kinds };
  for (const kind of facts.kinds) kinds[kind] = goOn(kinds[kind], ofKind(facts, kind));
  const mean = (test: 'errors' | 'slow'): number =>
    facts.kinds.reduce((sum, kind) => sum + kinds[kind][test].value, 0) / facts.kinds.length;
  const peaks = {
    errors: Math.max(before.peaks.errors, mean('errors')),
    slow: Math.max(before.peaks.slow, mean('slow')),
  };
  return { ...before, kinds, peaks };
}

/** What the gates ask of it. */
export function chancesOf(
  { peaks }: WatchState,
  { steps }: Pick<RolloutSettings, 'steps'>,
  at: Place,
): AnswerWatch {
  return { errors: 1 / peaks.errors, slow: 1 / peaks.slow, share: shareOf(steps, at) };
}

function ofKind(facts: WatchFacts, kind: Kind): KindFacts {
  const { canary, control, earlier } = facts;
  return {
    ...facts,
    canary: canary.kinds[kind],
    control: control?.kinds[kind],
    earlier: earlier.kinds[kind],
  };
}

function begin(facts: KindFacts): KindWatch {
  const slowMs = limitOf(facts.earlier, facts.limits);
  return {
    errors: noRise(errorsOf(facts.earlier)),
    slow: slowMs === null ? noRise() : noRise(slowOf(facts.earlier, slowMs)),
    slowMs,
    seen: sumsOf(facts, slowMs),
    lookedAtMs: facts.nowMs,
  };
}

function goOn(before: KindWatch, facts: KindFacts): KindWatch {
  const elapsedMs = Math.max(0, facts.nowMs - before.lookedAtMs);
  const sums = sumsOf(facts, before.slowMs);
  const look = (test: 'errors' | 'slow'): Parameters<typeof lookForRise>[1] => ({
    canary: less(sums.canary[test], before.seen.canary[test]),
    control: less(sums.control[test], before.seen.control[test]),
    elapsedMs,
  });
  const { horizonMs, earlier } = facts;
  const errors = look('errors');
  const isAlone = errors.control.answered === 0;
  // What both paths share shows only beside the control: its next answer is worth a moment, but not for ever.
  if (facts.control && isAlone && errors.canary.answered < MOST_ALONE) return before;
  const known = isAlone ? boundOf(earlier) : undefined;
  const state = {
    ...before,
    errors: lookForRise(before.errors, errors, { horizonMs, known }),
    ...(before.slowMs !== null && {
      slow: lookForRise(before.slow, look('slow'), { horizonMs, known: SLOW_SHARE }),
    }),
    seen: sums,
    lookedAtMs: facts.nowMs,
  };
  if (before.slowMs !== null) return state;
  // The control has said by now what slow is: from here on it is looked for.
  const slowMs = limitOf(facts.control ? usualOf(facts.control, earlier) : earlier, facts.limits);
  return { ...state, slowMs, seen: sumsOf(facts, slowMs) };
}

function limitOf(control: Counts, limits: Gates): number | null {
  if (control.answered < TELLS_P95) return null;
  return slowLimitMs(control.latencies, limits) ?? null;
}

function sumsOf({ canary, control = NO_COUNTS }: KindFacts, slowMs: number | null): Sums {
  const of = (path: Counts): Sums['canary'] => ({
    errors: errorsOf(path),
    slow: slowMs === null ? NOTHING : slowOf(path, slowMs),
  });
  return { canary: of(canary), control: of(control) };
}

const NOTHING: Counted = { answered: 0, against: 0 };

function less(now: Counted, before: Counted): Counted {
  const answered = Math.max(0, now.answered - before.answered);
  return { answered, against: Math.min(answered, Math.max(0, now.against - before.against)) };
}
