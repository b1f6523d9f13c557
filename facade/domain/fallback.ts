// Which path may answer a read when its own cannot. Only a path that has been proven (from `canary`
// on), and only with answers that are no older than a stated lag: the owner's always while it alone is
// written, the other side's while its flow keeps up and holds what this client wrote.
import type { Direction } from '../../control/domain/flow.ts';
import type { Owner, Phase } from '../../control/domain/phase.ts';
import type { CapabilityState } from '../../control/domain/state.ts';

export interface Fallback {
  readonly to: Owner;
  /** The flow that must keep up; undefined for the owner, who is never behind. */
  readonly fedBy: Direction | undefined;
}

const MONOLITH: Fallback = { to: 'monolith', fedBy: undefined };
const FED_MONOLITH: Fallback = { to: 'monolith', fedBy: 'back' };
const FED_SERVICE: Fallback = { to: 'service', fedBy: 'to' };

/** The other path of a read that goes to `failed`, where there is one. */
export function fallbackOf(state: CapabilityState, failed: Owner): Fallback | undefined {
  if (state.shared) return failed === 'service' ? FED_MONOLITH : FED_SERVICE;
  switch (state.phase) {
    case 'monolith':
    case 'sync':
    case 'shadow':
    case 'retired':
      return undefined;
    case 'canary':
      return failed === 'service' ? MONOLITH : FED_SERVICE;
    case 'cutover':
      return failed === 'service' ? FED_MONOLITH : undefined;
  }
}

/** Whether both sides may answer reads now, or will after one more step. */
export function hasTwoSides(phase: Phase): boolean {
  return phase === 'shadow' || phase === 'canary' || phase === 'cutover';
}
