// Which answers a move is judged by. While a rollout is driven: those of its step, by what its driver has
// made of them look by look, whoever asks; the driver and the coordinator cannot disagree. Without one: those
// since the canary got its first share, step by step.
import type { Knex } from 'knex';
import { answers, answersByVersion, phaseVersion, usualAnswers } from './answers.ts';
import type { Capability } from './definition.ts';
import type { AnswerWatch } from './domain/answer-gates.ts';
import { chancesOf, type WatchState } from './domain/answer-watch.ts';
import type { Answers, Kind, PathAnswers } from './domain/answers.ts';
import type { Place } from './domain/rollout.ts';

export interface JudgedAnswers {
  readonly answers: Answers;
  readonly watch?: AnswerWatch | undefined;
}

/** What has been answered in a step of a rollout. */
export interface StepAnswers {
  readonly canary: PathAnswers;
  /** Of the same time; nothing where all goes to the service and nobody shows beside it what is usual. */
  readonly control: PathAnswers | undefined;
  /** What the monolith answered lately before. */
  readonly earlier: PathAnswers;
  /** What there is of both. */
  readonly kinds: readonly Kind[];
}

type Settings = Pick<Capability, 'canary' | 'rollout'>;

/** `from`: the version of the capability's state with which the step began. */
export async function stepAnswers(
  db: Knex,
  capability: string,
  { canary }: Pick<Settings, 'canary'>,
  at: Place,
  from: number,
): Promise<StepAnswers> {
  const isOwner = at.phase === 'cutover';
  const reads = !isOwner && !canary.writes;
  const now = await answers(db, capability, { from, reads });
  const control = isOwner || at.weight >= 100 ? undefined : now.monolith;
  const earlier = await usualAnswers(db, capability, from, reads);
  return { canary: now.service, control, earlier, kinds: reads ? ['read'] : ['read', 'write'] };
}

/** As gates show them. */
export function shownAnswers({ canary, control, earlier }: StepAnswers): Answers {
  return control
    ? { service: canary, monolith: control, earlier }
    : { service: canary, monolith: earlier };
}

export async function judgedAnswers(
  db: Knex,
  capability: string,
  definition: Settings,
): Promise<JudgedAnswers> {
  const { rows } = await db.raw<{ rows: DrivenRow[] }>(
    `SELECT r.version, r.watch, r.phase, r.weight
       FROM banyan.rollout r JOIN banyan.capability c USING (capability, phase, weight)
      WHERE r.capability = ? AND r.status = 'running' AND r.watch IS NOT NULL
        AND r.lease_until > clock_timestamp()`,
    [capability],
  );
  const [row] = rows;
  if (!row) return { answers: await canaryAnswers(db, capability, !definition.canary.writes) };
  const at = { phase: row.phase, weight: Number(row.weight) };
  const step = await stepAnswers(db, capability, definition, at, Number(row.version));
  return { answers: shownAnswers(step), watch: chancesOf(row.watch, definition.rollout, at) };
}

async function canaryAnswers(db: Knex, capability: string, reads: boolean): Promise<Answers> {
  const from = await phaseVersion(db, capability);
  return {
    ...(await answers(db, capability, { from, reads })),
    earlier: await usualAnswers(db, capability, from, reads),
    steps: await answersByVersion(db, capability, { from, reads }),
  };
}

interface DrivenRow {
  version: string;
  watch: WatchState;
  phase: Place['phase'];
  weight: string;
}
