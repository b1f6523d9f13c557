// One look of a rollout at a capability: its gates where it is, those of the next move, and what the
// tests have made of the answers since the look before.
import type { Capability } from './definition.ts';
import { beginWatch, chancesOf, goOnWatching, type WatchState } from './domain/answer-watch.ts';
import { watchedGates, type GateFacts, type GateResult } from './domain/gates.ts';
import { gatesOf, opensToCohorts } from './domain/move.ts';
import { ownerOf } from './domain/phase.ts';
import { isLag, nextStep, stepsOf, type Place, type RolloutFacts } from './domain/rollout.ts';
import type { CapabilityState } from './domain/state.ts';
import type { Evidence } from './evidence.ts';
import { gatherFacts } from './gate-facts.ts';
import { shownAnswers } from './judged-answers.ts';
import type { RightsFound } from './way-back.ts';

/** When the step began, and what was kept of the look before. */
export interface Since {
  /** Of the capability's state. */
  readonly version: number;
  readonly atMs: number;
  readonly nowMs: number;
  readonly watch: WatchState | null;
}

/** What the applier of sync back lacks. */
export type Rights = (capability: string) => Promise<RightsFound>;

export interface RolloutLook {
  readonly facts: RolloutFacts;
  readonly watch: WatchState;
}

export async function lookAt(
  evidence: Evidence,
  id: string,
  definition: Capability,
  state: CapabilityState,
  since: Since,
  rights?: Rights,
): Promise<RolloutLook> {
  const { canary, rollout, gates: limits } = definition;
  const steps = stepsOf(rollout);
  const next = nextStep(steps, state);
  const answered = await evidence.stepAnswers(id, definition, state, since.version);
  const looked = {
    ...{ ...answered, limits },
    nowMs: since.nowMs,
    horizonMs: Math.max(rollout.bakeMs, 60_000),
  };
  const made = since.watch ? goOnWatching(since.watch, looked) : beginWatch(looked);
  const gathered = await gatherFacts(
    evidence,
    id,
    definition,
    undefined,
    next?.phase ?? state.phase,
    { answers: shownAnswers(answered), watch: chancesOf(made, rollout, state) },
  );
  const facts = { ...gathered, ...(await rightsAsked(id, definition, state, next, rights)) };
  const watched = watchedGates(state.phase, facts);
  const isRed = watched.some(({ verdict }) => verdict === 'fail');
  const redSinceMs = isRed ? (made.redSinceMs ?? since.nowMs) : null;
  const isFailing = watched.some(({ gate, verdict }) => verdict === 'fail' && !isLag(gate));
  const failingSinceMs = isFailing ? (made.failingSinceMs ?? since.nowMs) : null;
  const copied = progressOf(facts, made.copied, since.nowMs);
  return {
    watch: { ...made, redSinceMs, failingSinceMs, copied },
    facts: {
      at: state,
      ...{ steps, watched },
      settings: rollout,
      byRule: canary.rules.some((rule) => rule.to === 'service'),
      atMs: since.atMs,
      redMs: redSinceMs === null ? 0 : since.nowMs - redSinceMs,
      failingMs: failingSinceMs === null ? 0 : since.nowMs - failingSinceMs,
      idleMs: copied === null ? since.atMs : Math.min(since.atMs, since.nowMs - copied.atMs),
      ahead: next ? gatesAhead(definition, state, next, facts) : [],
    },
  };
}

/** When a copy last came on: as long as it does, nobody waits in vain. */
function progressOf(
  { flows }: Pick<GateFacts, 'flows'>,
  before: WatchState['copied'],
  nowMs: number,
): WatchState['copied'] {
  const tables = flows.find(({ direction }) => direction === 'to')?.backfill ?? [];
  if (tables.length === 0) return before;
  const rows = tables.reduce((sum, table) => sum + table.rows, 0);
  return rows === before?.rows ? before : { rows, atMs: nowMs };
}

/** A share is raised on what is watched; a phase has gates of its own, and so has letting cohorts write. */
export function gatesAhead(
  definition: Capability,
  state: CapabilityState,
  next: Place,
  facts: GateFacts,
): GateResult[] {
  const move = { to: next.phase, weight: next.weight };
  if (state.phase === next.phase && !opensToCohorts(definition, state, move)) return [];
  return gatesOf(definition, state, move, facts);
}

/** Where the next move gives the service a right to write: elsewhere nobody asks. */
export async function rightsAsked(
  id: string,
  definition: Capability,
  state: CapabilityState,
  next: Place | undefined,
  rights: Rights | undefined,
): Promise<Pick<GateFacts, 'missingRights'>> {
  if (!next || !rights || definition.tables.length === 0) return {};
  const opens = opensToCohorts(definition, state, { to: next.phase, weight: next.weight });
  const takes = ownerOf(next.phase) === 'service' && ownerOf(state.phase) === 'monolith';
  return opens || takes ? { missingRights: await rights(id) } : {};
}
