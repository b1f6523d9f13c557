// Back to the monolith from any phase before retirement, with nothing of ours left behind. Where the
// service owns the data its way back is a switch; where that is refused, what would be lost must be
// given up by name.
import { BanyanError, isBanyanError, type ErrorCode } from '../core/errors.ts';
import { ownerOf, type Phase } from './domain/phase.ts';
import type { CapabilityState } from './domain/state.ts';
import type { Loss } from './giving-up.ts';

export interface AbortRequest {
  readonly capability: string;
  readonly why?: string;
  /** What the service wrote and did not come back may be lost, where there is no other way. */
  readonly losing?: boolean;
}

export interface AbortResult extends Loss {
  readonly capability: string;
  readonly from: Phase;
  readonly to: 'monolith';
}

/** What an abort tells. */
export interface Aborted extends AbortResult {
  /** Edges that may still send the service writes: its tables stay closed until they are heard of, or gone for an hour. */
  readonly astray: readonly string[];
}

export interface WaysOut {
  /** The switch back to where the monolith alone writes. */
  rollBack(): Promise<unknown>;
  /** From a phase in which the monolith owns. */
  withdraw(): Promise<unknown>;
  giveUp(): Promise<Loss>;
}

export async function abort(
  { capability, losing }: AbortRequest,
  { phase: from, shared }: Pick<CapabilityState, 'phase' | 'shared'>,
  ways: WaysOut,
): Promise<AbortResult> {
  const done = { capability, from, to: 'monolith' } as const;
  try {
    if (shared || ownerOf(from) === 'service') await ways.rollBack();
    await ways.withdraw();
    return { ...done, lost: [], serviceLeft: false };
  } catch (error) {
    if (!losing || !isPassable(error)) throw withWayOut(error, capability);
    return { ...done, ...(await ways.giveUp()) };
  }
}

/** Refusals that giving up gets past. */
const PASSABLE = new Set<ErrorCode>([
  'GATE_REFUSED',
  'SWITCH_UNDONE',
  'TIMED_OUT',
  'DATABASE_UNREACHABLE',
  'PREFLIGHT_FAILED',
  'MOVE_NOT_ALLOWED',
]);

function isPassable(error: unknown): boolean {
  return isBanyanError(error) && PASSABLE.has(error.code);
}

/** The refusal, with the way that gives up what would be lost. */
function withWayOut(error: unknown, capability: string): unknown {
  if (!isBanyanError(error) || !isPassable(error)) return error;
  const { code, message, hint, details } = error;
  return new BanyanError(code, message, {
    hint: `${hint ?? 'Mend it and try again.'} Or give up what the service has written and what cannot come back: banyan abort ${capability} --lose-service-writes.`,
    details,
    cause: error,
  });
}
