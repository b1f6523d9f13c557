// One step of a rollout's way back. Traffic goes first, needs nobody's leave, and is tried until it is
// done. Ownership goes by a switch, which drains or is undone: a human is called at the first refusal, and
// what may pass by itself is tried again, less and less often. After the last, or where nothing passes by
// itself, the rollout is stuck: the data stay with their owner, and so does the traffic. Who goes on watching
// tries now and then whether a human has mended what stood in the way.
import { isBanyanError, messageOf } from '../core/errors.ts';
import { isConnectionError, isServerError } from '../core/postgres/connect.ts';
import type { Capability } from './definition.ts';
import { warns } from './domain/gate-result.ts';
import { endsSharing, type MoveResult } from './domain/move.ts';
import {
  describePlace,
  samePlace,
  told,
  wayDown,
  type Place,
  type WayDown,
} from './domain/rollout.ts';
import type { CapabilityState } from './domain/state.ts';
import type { Coordinator } from './coordinator.ts';
import type { RolloutRow, RolloutStore } from './rollout-store.ts';
import type { StateStore } from './store.ts';

/** A switch holds writes while it drains: each refusal makes the next wait longer, up to sixty of these. */
const FIRST_PAUSE_MS = 1_000;
/** With the pauses above, about a quarter of an hour; a row that has as many attempts has been told of. */
const MOST_SWITCHES = 20;
/** Between two attempts of one that is stuck, in first pauses. */
const STUCK_PAUSES = 60;

export interface BackOptions {
  readonly coordinator: Pick<Coordinator, 'move' | 'recover'>;
  readonly rollouts: RolloutStore;
  readonly store: StateStore;
  /** Who drives, for the journal. */
  readonly who: string;
  /** Hears what goes on, for people. */
  readonly say?: ((line: string) => void) | undefined;
  /** After the first refusal; each further one doubles it. */
  readonly pauseMs?: number;
}

/**
 * Gives how long to wait before it is tried again. `first`: the decision has just been taken, and nothing
 * keeps its first step waiting.
 */
export async function takeStepBack(
  options: BackOptions,
  { rollout, canary }: Pick<Capability, 'rollout' | 'canary'>,
  row: RolloutRow,
  state: CapabilityState,
  first: boolean,
): Promise<number> {
  const { rollouts, coordinator, store, who, say } = options;
  const byRule = canary.rules.some((rule) => rule.to === 'service');
  const way = wayDown(state, rollout.rollback, byRule, first ? Infinity : row.atMs);
  if (way.kind === 'wait') return 0;
  if (way.kind === 'done') {
    const event = { event: 'rollout rolled back', who, why: row.why };
    await rollouts.change(row, { status: 'rolled back', going: null, attempts: 0 }, event);
    return 0;
  }
  const going = placeOf(way);
  if (!(await rollouts.change(row, { going }))) return 0;
  say?.(`${describePlace(state)} → ${describePlace(going)}: ${row.why}`);
  let result: MoveResult | undefined;
  try {
    result = await coordinator.move({
      capability: row.capability,
      event: way.kind === 'weight' ? 'weight' : 'rollback',
      ...(way.kind !== 'leave' && { weight: way.weight }),
      to: going.phase,
      version: state.version,
      why: `rollout: ${row.why}`,
    });
  } catch (error) {
    // It may have been done all the same, and only what comes after it has failed.
    if (!samePlace(await store.readOne(row.capability), going))
      return refused(
        options,
        row,
        way.kind === 'switch' ||
          endsSharing({ canary }, state, { to: going.phase, weight: going.weight }),
        error,
      );
  }
  const now = await rollouts.read(row.capability);
  const there = await store.readOne(row.capability);
  if (!now) return 0;
  const unproven = (result?.gates ?? []).filter(warns);
  const warning = unproven.length > 0 ? `; before it goes on again: ${told(unproven)}` : '';
  await rollouts.change(
    now,
    { place: going, version: there.version, going: null, attempts: 0, watch: null, anew: true },
    { event: 'rollout step back', who, why: `${describePlace(going)}${warning}` },
  );
  return 0;
}

async function refused(
  { rollouts, who, say, pauseMs = FIRST_PAUSE_MS }: BackOptions,
  { capability, holder }: RolloutRow,
  isSwitch: boolean,
  error: unknown,
): Promise<number> {
  const passes =
    isConnectionError(error) || isServerError(error) || (isBanyanError(error) && error.retryable);
  if (!passes && !isBanyanError(error)) throw error;
  const now = await rollouts.read(capability);
  // What a human or a successor has decided meanwhile is not overwritten.
  if (now?.status !== 'rolling back' || now.holder !== holder) return 0;
  if (isBanyanError(error, 'MOVE_IN_PROGRESS')) return 0;
  const attempts = now.attempts + 1;
  const why = `${now.why}; and the way back is refused: ${messageOf(error)}`;
  if (isSwitch && (!passes || attempts >= MOST_SWITCHES)) {
    const isNews = now.attempts < MOST_SWITCHES;
    await rollouts.change(
      now,
      { status: 'stuck', going: null, attempts: MOST_SWITCHES, ...(isNews && { why }) },
      isNews ? { event: 'rollout stuck', who, why } : undefined,
    );
    return pauseMs * STUCK_PAUSES;
  }
  const call = attempts === 1 ? { event: 'rollout way back refused', who, why } : undefined;
  await rollouts.change(now, { attempts }, call);
  say?.(`tried ${attempts} times: ${messageOf(error)}`);
  return pauseMs * Math.min(2 ** (attempts - 1), isSwitch ? 60 : 5);
}

function placeOf(way: Exclude<WayDown, { kind: 'wait' | 'done' }>): Place {
  return way.kind === 'leave'
    ? { phase: 'shadow', weight: 0 }
    : { phase: 'canary', weight: way.weight };
}
