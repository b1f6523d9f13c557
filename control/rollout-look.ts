// One look of a rollout at a capability: its gates where it is, those of the next move, and what the
// tests have made of the answers since the look before.
import type { Capability } from './definition.ts';
import { beginWatch, goOnWatching, type WatchState } from './domain/answer-watch.ts';
import { evaluateGates, watchedGates, type GateFacts, type GateResult } from './domain/gates.ts';
import type { Phase } from './domain/phase.ts';
import { nextStep, stepsOf, type RolloutFacts } from './domain/rollout.ts';
import type { CapabilityState } from './domain/state.ts';
import type { Evidence } from './evidence.ts';
import { gatherFacts } from './gate-facts.ts';

/** When the step began, and what was kept of the look before. */
export interface Since {
  /** Of the capability's state. */
  readonly version: number;
  readonly atMs: number;
  readonly nowMs: number;
  readonly watch: WatchState | null;
}

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
): Promise<RolloutLook> {
  const { canary, rollout, gates: limits } = definition;
  const steps = stepsOf(rollout);
  const next = nextStep(steps, state);
  const isOwner = state.phase === 'cutover';
  const reads = !isOwner && !canary.writes;
  const now = await evidence.answers(id, { from: since.version, reads });
  const earlier = (await evidence.answers(id, { from: 0, before: since.version, reads })).monolith;
  // With all of the traffic on the service, nobody shows beside it what is usual.
  const control = isOwner || state.weight >= 100 ? undefined : now.monolith;
  const looked = {
    ...{ canary: now.service, control, earlier, limits },
    nowMs: since.nowMs,
    horizonMs: Math.max(rollout.bakeMs, 60_000),
  };
  const made = since.watch ? goOnWatching(since.watch, looked) : beginWatch(looked);
  const facts: GateFacts = {
    ...(await gatherFacts(evidence, id, definition, undefined, next?.phase ?? state.phase)),
    answers: { monolith: control ?? earlier, service: now.service, ...(control && { earlier }) },
    watch: { errors: made.errors, slow: made.slow, steps: rollout.steps.length + 1 },
  };
  const watched = watchedGates(state.phase, facts);
  const isRed = watched.some(({ verdict }) => verdict === 'fail');
  const redSinceMs = isRed ? (made.redSinceMs ?? since.nowMs) : null;
  return {
    watch: { ...made, redSinceMs },
    facts: {
      at: state,
      ...{ steps, watched },
      settings: rollout,
      byRule: canary.rules.some((rule) => rule.to === 'service'),
      atMs: since.atMs,
      redMs: redSinceMs === null ? 0 : since.nowMs - redSinceMs,
      ahead: next ? gatesAhead(state.phase, next.phase, facts) : [],
    },
  };
}

/** A share is raised on what is watched; a phase has gates of its own. */
function gatesAhead(from: Phase, to: Phase, facts: GateFacts): GateResult[] {
  return from === to ? [] : evaluateGates(from, to, facts);
}
