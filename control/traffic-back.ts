// Traffic's way back while the monolith owns the data: it changes the state and nothing else, so it needs
// the control database alone and is had with a participant's database down. What the databases then hold
// too much is tidied afterwards, by whoever can.
import type { MoveRequest, PlannedMove } from './domain/move.ts';
import type { CapabilityState } from './domain/state.ts';
import type { Steps } from './steps.ts';
import type { StateStore } from './store.ts';

/** Where a request leads when nothing but traffic goes back by it; undefined for any other. */
export function leadsTrafficBack(
  { event, weight = 0, to }: MoveRequest,
  state: CapabilityState,
): Pick<PlannedMove, 'to' | 'weight'> | undefined {
  // Cohorts that write are fenced in the service's database.
  if (state.phase !== 'canary' || state.shared || state.holding) return undefined;
  if (event === 'rollback')
    return (to === undefined || to === 'shadow') && weight === 0
      ? { to: 'shadow', weight: 0 }
      : undefined;
  const lowered = { to: 'canary', weight } as const;
  const lowers = event === 'weight' && weight >= 0 && weight < state.weight;
  return lowers && (to === undefined || to === 'canary') ? lowered : undefined;
}

export async function bringTrafficBack(
  { store, steps }: { readonly store: StateStore; readonly steps: Steps },
  state: CapabilityState,
  move: PlannedMove,
): Promise<CapabilityState> {
  const { to, weight, entry } = move;
  return to === 'shadow'
    ? steps.countAnew(state, move)
    : store.change(state, { phase: to, weight }, entry);
}
