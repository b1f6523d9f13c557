// A move as it would be made, looked at and not made: its gates, its steps, and what each of them touches in
// which database. Reads only; asks for no lease, so that it can be had while somebody moves.
import { formatTable } from '../core/postgres/identifiers.ts';
import type { Capability } from './definition.ts';
import type { GateResult } from './domain/gates.ts';
import {
  allowed,
  gatesOf,
  isShared,
  isThere,
  kindOf,
  type MoveRequest,
  type PlannedMove,
} from './domain/move.ts';
import {
  moveSteps,
  type DataParts,
  type MoveParts,
  type PlannedStep,
} from './domain/move-steps.ts';
import type { Phase } from './domain/phase.ts';
import type { CapabilityState } from './domain/state.ts';
import type { FlowPair } from './ends.ts';
import { gatherFacts } from './gate-facts.ts';
import type { Participant } from './participant.ts';
import type { FlowEnds } from './replication.ts';
import { findSequences } from './sequences.ts';
import { missingRights } from './way-back.ts';
import type { Workplace } from './workplace.ts';

export interface DryRun {
  readonly capability: string;
  readonly from: Phase;
  readonly to: Phase;
  readonly weight: number;
  /** As they are now; none for a move that comes after another. */
  readonly gates: readonly GateResult[];
  readonly steps: readonly PlannedStep[];
}

/** Several moves, one after the other, as `requests` ask for. Throws what a move throws before it does anything, but for its gates. */
export async function dryRun(
  at: Workplace,
  capability: string,
  requests: readonly MoveRequest[],
): Promise<DryRun[]> {
  const definition = at.definition(capability);
  return at.looking(capability, async (ends) => {
    const parts = await partsOf(at, capability, definition, ends);
    let state = await at.store.readOne(capability);
    const runs: DryRun[] = [];
    for (const request of requests) {
      if (isThere(request, state)) {
        const { phase, weight } = state;
        runs.push({ capability, from: phase, to: phase, weight, gates: [], steps: [] });
        continue;
      }
      const move = allowed(definition, request, state);
      const gates = runs.length === 0 ? await gatesNow(at, definition, ends, state, move) : [];
      const steps = moveSteps(kindOf(definition, state, move), state, move, parts);
      runs.push({ capability, from: state.phase, ...move, gates, steps });
      state = { ...state, phase: move.to, weight: move.weight, shared: isShared(definition, move) };
    }
    return runs;
  });
}

async function gatesNow(
  { evidence }: Workplace,
  definition: Capability,
  ends: FlowPair | undefined,
  state: CapabilityState,
  move: Pick<PlannedMove, 'to' | 'weight'>,
): Promise<GateResult[]> {
  const { capability, phase } = state;
  const facts = await gatherFacts(evidence, capability, definition, ends, move.to);
  const forward =
    ends && phase === 'cutover' && move.to === 'canary'
      ? { wayForward: { missing: await missingRights(ends.to.target) } }
      : {};
  return gatesOf(definition, state, move, { ...facts, ...forward });
}

async function partsOf(
  { replicas }: Workplace,
  capability: string,
  definition: Capability,
  ends: FlowPair | undefined,
): Promise<MoveParts> {
  const { live } = await replicas.acknowledged(capability, 0, 0);
  const data = ends && (await dataOf(definition, ends));
  return { capability, leaves: definition.leaves, replicas: [...live].sort(), data };
}

async function dataOf({ tables }: Capability, { to, back }: FlowPair): Promise<DataParts> {
  const side = async (
    one: Participant,
    other: Participant,
  ): Promise<DataParts['sides']['monolith']> => ({
    database: one.database,
    tables: one.closed(other.side).tables.map(({ table }) => formatTable(table)),
    sequences: (await findSequences(tables, one, other)).map(({ sequence }) => sequence),
  });
  const flow = ({ names, relayed, connector }: FlowEnds): DataParts['flows']['to'] => ({
    ...names,
    through: connector ? 'connector' : relayed ? 'relay' : undefined,
  });
  return {
    flows: { to: flow(to), back: flow(back) },
    sides: {
      monolith: await side(to.source, to.target),
      service: await side(to.target, to.source),
    },
  };
}
