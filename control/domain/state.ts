// What every process knows of a capability: the row of the control database that facades, sync and
// coordinators meet in.
import { ownerOf, type Owner, type Phase } from './phase.ts';

export interface CapabilityState {
  readonly capability: string;
  readonly phase: Phase;
  /** Percent (0 to 100) of the read cohorts that the service answers in `canary`. */
  readonly weight: number;
  /** A write canary is open: cohorts write to the service too, and the monolith judges. In `canary` only. */
  readonly shared: boolean;
  /** A switch holds new writes: they wait in the facade, forwarded to nobody. */
  readonly holding: boolean;
  /** Raised by every coordinator that takes over; a lower one may touch nothing. */
  readonly epoch: number;
  /** Raised by every change of this row, so that replicas can say which state they have seen. */
  readonly version: number;
}

/** Where a capability begins. */
export function initialState(capability: string): CapabilityState {
  return { capability, phase: 'monolith', ...NOTHING };
}

const NOTHING = { weight: 0, shared: false, holding: false, epoch: 0, version: 0 };

/** Which path writes of the capability take when they are not held; under a write canary, those of no cohort. */
export function writePath(state: CapabilityState): Owner {
  return ownerOf(state.phase);
}
