// The way of one copy, from the control's answer to a verdict: ask the candidate, compare, and where
// they differ look again (recheck.ts). On a share of the comparisons the control is asked a second
// time even so, to know its noise before it matters.
import { copyOf, type Asker } from './ask.ts';
import type { Asked, Question } from './asked.ts';
import { Comparison, type Answer, type CompareRules, type Difference } from './domain/compare.ts';
import { kindOf } from './domain/difference-kind.ts';
import type { RouteNoise } from './domain/noise.ts';
import { dropped, undecided, type Verdict } from './domain/verdict.ts';
import type { Lanes } from './lanes.ts';
import type { Purse } from './memory.ts';
import { recheck, silence } from './recheck.ts';
import type { Turns } from './turns.ts';
import type { CopyPool } from './copy-pool.ts';
import type { Upstream } from './upstreams.ts';

export interface Judge {
  readonly question: Question;
  /** The control's answer, in plain. */
  readonly given: Asked;
  readonly monolith: Upstream<CopyPool>;
  readonly service: Upstream<CopyPool>;
  readonly asker: Asker;
  readonly turns: Turns;
  readonly purse: Purse;
  readonly rules: CompareRules;
  readonly wanted: ReadonlySet<string>;
  readonly noise: RouteNoise;
  /** Share of the comparisons whose control is asked again. */
  readonly sample: number;
  readonly caughtUp: (() => Promise<boolean>) | undefined;
  readonly isOver: () => boolean;
  /** Told what the candidate answered to the copy. */
  readonly onFirst: (asked: Asked) => void;
  /** Called each time before the control is asked again. */
  readonly onRepeat: () => void;
  /** Called when the first comparison is through. */
  readonly afterFirst: () => void;
  /** Runs what comes after the first comparison, counted among the repetitions. */
  readonly repeat: <T>(work: () => Promise<T>) => Promise<T>;
  /** Keeps the number of questions low that repetitions ask at a time, and within the copies' share. */
  readonly lanes: Lanes;
}

/** Bodies that are smaller together are compared in one turn. */
const ONE_TURN_BYTES = 32_768;

export async function judge(given: Judge): Promise<Verdict> {
  const { noise, rules, turns, purse } = given;
  const control = given.given;
  if (control.kind !== 'answer') return whyNoControl(control);
  const copy = copyOf(given.question);
  const ask = (upstream: Upstream<CopyPool>): Promise<Asked> =>
    given.asker.ask(upstream, copy, given.wanted, purse);
  const askInLane = (upstream: Upstream<CopyPool>): Promise<Asked> =>
    given.lanes.run(() =>
      given.isOver() ? Promise.resolve<Asked>({ kind: 'silent', why: 'given up' }) : ask(upstream),
    );
  const askControl = (): Promise<Asked> => {
    given.onRepeat();
    return askInLane(given.monolith);
  };
  const differ = (one: Answer, other: Answer): Promise<Difference[]> =>
    differInTurns(one, other, rules, turns);
  const forget = (answer: Answer): void => {
    purse.give(answer.body.length);
  };

  const first = await ask(given.service);
  given.onFirst(first);
  // The control's was not: it may be a fault.
  if (first.kind === 'too-large') return undecided('too-large');
  if (first.kind === 'no-room') return dropped('memory');
  // We have given it up ourselves: nothing is known of it.
  if (first.kind === 'silent' && given.isOver()) return dropped('over');
  const found =
    first.kind === 'answer'
      ? await differ(control.answer, first.answer)
      : [silence(control.answer, first)];
  if (first.kind === 'answer') forget(first.answer);
  const isDue = noise.isDue(given.sample);
  const excused = new Set(found.map(kindOf).filter((kind) => noise.isNoise(kind)));
  const matched: Verdict = { kind: 'matched', noise: excused.size };
  const isRight = found.every((one) => excused.has(kindOf(one)));
  // A sample that comes late would learn as noise what was written meanwhile.
  const isSampled = isDue && !(found.length === 0 && given.lanes.isHeldBack);
  if (isRight && !isSampled) return matched;
  given.afterFirst();
  return given.repeat(() =>
    found.length === 0
      ? learnNoise(control.answer, askControl, differ, noise).then(() => matched)
      : recheck({
          control: control.answer,
          askControl,
          askCandidate: () => askInLane(given.service),
          differ,
          forget,
          caughtUp: given.caughtUp,
          isOver: given.isOver,
          noise,
          thorough: isDue && isRight,
        }).then((verdict) =>
          verdict.kind === 'dropped' && !isRight ? undecided(verdict.reason) : verdict,
        ),
  );
}

/** Asks the control once more, when nothing was wrong. */
async function learnNoise(
  control: Answer,
  askControl: () => Promise<Asked>,
  differ: (one: Answer, other: Answer) => Promise<Difference[]>,
  noise: RouteNoise,
): Promise<void> {
  const again = await askControl();
  if (again.kind === 'answer') noise.learn(await differ(control, again.answer));
}

function whyNoControl(given: Exclude<Asked, { kind: 'answer' }>): Verdict {
  if (given.kind === 'silent') return dropped('control-failed');
  return dropped(given.kind === 'no-room' ? 'memory' : 'too-large');
}

async function differInTurns(
  one: Answer,
  other: Answer,
  rules: CompareRules,
  turns: Turns,
): Promise<Difference[]> {
  const comparison = new Comparison(one, other);
  if (one.body.length + other.body.length > ONE_TURN_BYTES)
    for (const step of comparison.steps) await turns.run(step);
  return turns.run(() => comparison.differences(rules));
}
