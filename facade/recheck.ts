// A difference is looked at again, because data on its way is no bug. Each round waits until the
// service has everything that the control's answer could show, asks the service, and asks the
// control once more: where the control has not moved meanwhile and the service still differs, the
// service is wrong. Only what holds in every round is reported; a place that never stood still
// proves nothing.
import type { Asked } from './ask.ts';
import {
  compareAnswers,
  type Answer,
  type CompareRules,
  type Difference,
} from './domain/compare.ts';
import type { DropReason } from './tally.ts';

export interface Recheck {
  /** The answer that the client got. */
  readonly control: Answer;
  readonly askControl: () => Promise<Asked>;
  readonly askCandidate: () => Promise<Asked>;
  /** Waits for the watermark; undefined when the capability has no data to wait for. */
  readonly caughtUp: (() => Promise<boolean>) | undefined;
  readonly isOver: () => boolean;
  readonly rules: CompareRules;
}

export type Verdict =
  | { readonly kind: 'matched' }
  | { readonly kind: 'mismatched'; readonly differences: readonly Difference[] }
  | { readonly kind: 'dropped'; readonly reason: DropReason };

const ROUNDS_WITH_TABLES = 3;
const ROUNDS_WITHOUT = 2;

/** Asks again until the difference is gone, or proven. */
export async function recheck(given: Recheck): Promise<Verdict> {
  const rounds = given.caughtUp ? ROUNDS_WITH_TABLES : ROUNDS_WITHOUT;
  let control = given.control;
  let suspects: readonly Difference[] | undefined;
  for (let round = 0; round < rounds; round++) {
    if (given.caughtUp && !(await given.caughtUp()))
      return dropped(given.isOver() ? 'over' : 'not-synced');
    if (given.isOver()) return dropped('over');
    const candidate = await given.askCandidate();
    const after = await given.askControl();
    if (given.isOver()) return dropped('over');
    if (after.kind !== 'answer')
      return dropped(after.kind === 'too-large' ? 'too-large' : 'control-failed');
    if (candidate.kind === 'too-large') return dropped('too-large');
    const found = differences(control, candidate, given.rules);
    if (found.length === 0 || differences(after.answer, candidate, given.rules).length === 0)
      return { kind: 'matched' };
    const moved = compareAnswers(control, after.answer, given.rules);
    const firm = found.filter((one) => !moved.some((other) => covers(other.at, one.at)));
    control = after.answer;
    // Everything that differed was in motion: this round says neither yes nor no.
    if (firm.length === 0) continue;
    const before: readonly Difference[] = suspects ?? firm;
    suspects = firm.filter((one) => before.some((other) => other.at === one.at));
    if (suspects.length === 0) return dropped('in-flux');
  }
  return suspects ? { kind: 'mismatched', differences: suspects } : dropped('in-flux');
}

function differences(
  control: Answer,
  candidate: Exclude<Asked, { kind: 'too-large' }>,
  rules: CompareRules,
): Difference[] {
  if (candidate.kind === 'answer') return compareAnswers(control, candidate.answer, rules);
  const why = `no answer: ${candidate.why}`;
  return [{ path: 'status', at: 'status', control: control.status, candidate: why }];
}

/** Whether a change at `moved` makes `at` uncertain: the place itself, or an array that grew or shrank above it. */
function covers(moved: string, at: string): boolean {
  const root = moved.replace(/(^|\.)length$/, '');
  return (
    moved === at ||
    moved === 'status' ||
    moved === 'body' ||
    root === '' ||
    at.startsWith(`${root}.`)
  );
}

/** The verdict on a copy that told nothing. */
export function dropped(reason: DropReason): Verdict {
  return { kind: 'dropped', reason };
}
