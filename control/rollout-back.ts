// One step of a rollout's way back. Traffic goes first and needs nobody's leave. Ownership goes by a
// switch, which drains or is undone; after a few that were refused the rollout is stuck: the data stay with
// their owner, and so does the traffic, until a human has looked.
import { isBanyanError, messageOf } from '../core/errors.ts';
import type { Capability } from './definition.ts';
import { describePlace, wayDown, type Place, type WayDown } from './domain/rollout.ts';
import type { CapabilityState } from './domain/state.ts';
import type { Coordinator } from './coordinator.ts';
import type { RolloutRow, RolloutStore } from './rollout-store.ts';
import type { StateStore } from './store.ts';

/** A gate is asked again every second, a switch takes its own time before it is undone. */
const MOST_ATTEMPTS = { gate: 15, switch: 3 } as const;

export interface BackOptions {
  readonly coordinator: Pick<Coordinator, 'move'>;
  readonly rollouts: RolloutStore;
  readonly store: StateStore;
  /** Who drives, for the journal. */
  readonly who: string;
  /** Hears what goes on, for people. */
  readonly say?: ((line: string) => void) | undefined;
}

/** `first`: the decision has just been taken, and nothing keeps its first step waiting. */
export async function takeStepBack(
  options: BackOptions,
  { rollout, canary }: Pick<Capability, 'rollout' | 'canary'>,
  row: RolloutRow,
  state: CapabilityState,
  first: boolean,
): Promise<void> {
  const { rollouts, coordinator, store, who, say } = options;
  const byRule = canary.rules.some((rule) => rule.to === 'service');
  const way = wayDown(state, rollout.rollback, byRule, first ? Infinity : row.atMs);
  if (way.kind === 'wait') return;
  if (way.kind === 'done') {
    const event = { event: 'rollout rolled back', who, why: row.why };
    await rollouts.change(row, { status: 'rolled back', going: null, attempts: 0 }, event);
    return;
  }
  const going = placeOf(way);
  if (!(await rollouts.change(row, { going }))) return;
  say?.(`${describePlace(state)} → ${describePlace(going)}: ${row.why}`);
  try {
    await coordinator.move({
      capability: row.capability,
      event: way.kind === 'weight' ? 'weight' : 'rollback',
      ...(way.kind !== 'leave' && { weight: way.weight }),
      to: going.phase,
      version: state.version,
      why: `rollout: ${row.why}`,
    });
  } catch (error) {
    await refused(options, row.capability, error);
    return;
  }
  const now = await rollouts.read(row.capability);
  const there = await store.readOne(row.capability);
  if (!now) return;
  await rollouts.change(
    now,
    { place: going, version: there.version, going: null, attempts: 0, watch: null, anew: true },
    { event: 'rollout step back', who, why: describePlace(going) },
  );
}

async function refused(
  { rollouts, who }: BackOptions,
  capability: string,
  error: unknown,
): Promise<void> {
  if (!isBanyanError(error)) throw error;
  const now = await rollouts.read(capability);
  if (!now || error.code === 'MOVE_IN_PROGRESS') return;
  const attempts = now.attempts + 1;
  const most = error.code === 'GATE_REFUSED' ? MOST_ATTEMPTS.gate : MOST_ATTEMPTS.switch;
  if (attempts < most) {
    await rollouts.change(now, { attempts, going: null });
    return;
  }
  const why = `${now.why}; and the way back is refused: ${messageOf(error)}`;
  await rollouts.change(
    now,
    { status: 'stuck', why, going: null, attempts: 0 },
    { event: 'rollout stuck', who, why },
  );
}

function placeOf(way: Exclude<WayDown, { kind: 'wait' | 'done' }>): Place {
  return way.kind === 'leave'
    ? { phase: 'shadow', weight: 0 }
    : { phase: 'canary', weight: way.weight };
}
