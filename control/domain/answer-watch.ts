// What a rollout keeps between two looks at the answers of a step: the sums as they were, and the two
// tests that go on with what has come since (rise.ts).
import type { PathAnswers } from '../answers.ts';
import type { Gates } from '../definition.ts';
import {
  boundOf,
  errorsOf,
  SLOW_SHARE,
  slowLimitMs,
  slowOf,
  TELLS_P95,
  usualOf,
} from './answer-gates.ts';
import { lookForRise, noRise, type Counted, type RiseState } from './rise.ts';

export interface WatchState {
  readonly errors: RiseState;
  readonly slow: RiseState;
  /** From where on an answer of this step is slow; unknown until the control has said. */
  readonly slowMs: number | null;
  readonly seen: Sums;
  /** Of the look before, by the control database's clock. */
  readonly lookedAtMs: number;
  /** Since when a gate has been red. */
  readonly redSinceMs: number | null;
}

/** Counts of both paths, of both kinds. */
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
  readonly nowMs: number;
  readonly horizonMs: number;
  readonly limits: Gates;
}

/** So many answers of the canary wait for one of the control that runs beside. */
const MOST_ALONE = 100;

/** A step begins: whatever is counted from now on counts. */
export function beginWatch(facts: WatchFacts): WatchState {
  const slowMs = limitOf(facts.earlier, facts.limits);
  return {
    errors: noRise(errorsOf(facts.earlier)),
    slow: slowMs === null ? noRise() : noRise(slowOf(facts.earlier, slowMs)),
    slowMs,
    seen: sumsOf(facts, slowMs),
    lookedAtMs: facts.nowMs,
    redSinceMs: null,
  };
}

export function goOnWatching(before: WatchState, facts: WatchFacts): WatchState {
  const elapsedMs = Math.max(0, facts.nowMs - before.lookedAtMs);
  const sums = sumsOf(facts, before.slowMs);
  const look = (kind: 'errors' | 'slow'): Parameters<typeof lookForRise>[1] => ({
    canary: less(sums.canary[kind], before.seen.canary[kind]),
    control: less(sums.control[kind], before.seen.control[kind]),
    elapsedMs,
  });
  const { horizonMs, earlier } = facts;
  const errors = look('errors');
  const isAlone = errors.control.answered === 0;
  // What both share shows only beside the control: its next answer is worth a moment, but not for ever.
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

function limitOf(control: PathAnswers, limits: Gates): number | null {
  if (control.answered < TELLS_P95) return null;
  return slowLimitMs(control.latencies, limits) ?? null;
}

function sumsOf({ canary, control }: WatchFacts, slowMs: number | null): Sums {
  const of = (path: PathAnswers | undefined): Sums['canary'] => ({
    errors: path ? errorsOf(path) : NOTHING,
    slow: path && slowMs !== null ? slowOf(path, slowMs) : NOTHING,
  });
  return { canary: of(canary), control: of(control) };
}

const NOTHING: Counted = { answered: 0, against: 0 };

function less(now: Counted, before: Counted): Counted {
  const answered = Math.max(0, now.answered - before.answered);
  return { answered, against: Math.min(answered, Math.max(0, now.against - before.against)) };
}
