// What may be asked of the coordinator, and when it is refused: the rules that stand before a move.
import { BanyanError } from '../../core/errors.ts';
import { evaluateGates, type GateFacts, type GateResult } from './gates.ts';
import type { Capability } from '../definition.ts';
import { oneWayReason } from './mapped-table.ts';
import { flowsOf, ownerOf, takesOwnership, TRANSITIONS, type Event, type Phase } from './phase.ts';
import type { CapabilityState } from './state.ts';
import type { JournalEntry } from '../store.ts';

/** Long transactions in the way of a switch, before anybody is held: it is refused, or waits for them, or ends them. */
export const BLOCKER_POLICIES = ['refuse', 'wait', 'cancel'] as const;
export type BlockerPolicy = (typeof BLOCKER_POLICIES)[number];

export interface MoveRequest {
  readonly capability: string;
  readonly event: Event;
  /** Percent, for a canary. */
  readonly weight?: number;
  readonly why?: string;
  /** Of the state that this was decided on; another one is a refusal. */
  readonly version?: number;
  /** Where it should end up. Being there already is success; leading elsewhere is refused. Needed for `retired`. */
  readonly to?: Phase;
  /** What becomes of transactions that would keep a switch from closing the tables; refused where left out. */
  readonly blockers?: BlockerPolicy;
  /** Lets `sync` begin although the service's tables hold rows: those the monolith lacks are deleted. */
  readonly replaceTarget?: boolean;
}

/** A move that has been allowed: where it leads, and what the journal will say. */
export interface PlannedMove {
  readonly to: Phase;
  readonly weight: number;
  readonly blockers?: BlockerPolicy;
  readonly entry: JournalEntry;
}

export interface MoveResult {
  readonly capability: string;
  readonly from: Phase;
  readonly to: Phase;
  readonly weight: number;
  readonly gates: readonly GateResult[];
  /** Set when the move was a switch of ownership. */
  readonly pauseMs?: number;
}

/** What gives up the way back is done only when it is asked for by name. */
function assertDestination(request: MoveRequest, from: Phase, leads: Phase): void {
  if (request.to === undefined && leads !== 'retired') return;
  if (request.to === leads) return;
  throw new BanyanError(
    'MOVE_NOT_ALLOWED',
    request.to === undefined
      ? `capability "${request.capability}" would retire: there is no way back from that`
      : `capability "${request.capability}" is in ${from}, which leads to ${leads}, not to ${request.to}`,
    {
      hint:
        request.to === undefined
          ? 'If that is what you want, say so: --to retired.'
          : 'Move it there step by step; `banyan status` shows where it is.',
    },
  );
}

/** What was decided on a state is not done to another. */
export function assertVersion({ capability, version }: MoveRequest, state: CapabilityState): void {
  if (version === undefined || version === state.version) return;
  throw new BanyanError(
    'MOVE_IN_PROGRESS',
    `capability "${capability}" was moved by somebody else meanwhile`,
    { hint: 'Look at `banyan status`, then decide again.' },
  );
}

/** From `canary` on, what the service writes travels back: a mapping must be able to. */
function assertWayBack(definition: Capability, to: Phase): void {
  const { tables, leaves } = definition;
  const reason = oneWayReason(tables);
  if (reason === undefined || !flowsOf(to, { hasTables: tables.length > 0, leaves }).back) return;
  throw new BanyanError('MOVE_NOT_ALLOWED', `${to} needs the way back: ${reason}`, {
    hint: 'Give the lens a put that undoes its get.',
  });
}

/** Whether cohorts write to the service once a move is done: in a canary that has any, and may. */
export function isShared(
  { canary }: Pick<Capability, 'canary'>,
  { to, weight }: Pick<PlannedMove, 'to' | 'weight'>,
): boolean {
  return to === 'canary' && canary.writes && weight > 0;
}

/** Whether cohorts begin to write with a move, who did not before. On the way back from a cutover they do not. */
export function opensToCohorts(
  definition: Capability,
  { phase, shared, weight }: Pick<CapabilityState, 'phase' | 'shared' | 'weight'>,
  move: Pick<PlannedMove, 'to' | 'weight'>,
): boolean {
  if (ownerOf(phase) !== 'monolith' || shared || !isShared(definition, move)) return false;
  return phase !== 'canary' || move.weight >= weight;
}

/** Whether cohorts write no more after a move, and the monolith alone owns what they wrote. */
export function endsSharing(
  definition: Pick<Capability, 'canary'>,
  { shared }: Pick<CapabilityState, 'shared'>,
  move: Pick<PlannedMove, 'to' | 'weight'>,
): boolean {
  return shared && ownerOf(move.to) === 'monolith' && !isShared(definition, move);
}

/** The gates of a move, all of them: for whoever makes it, and for whoever only looks. */
export function gatesOf(
  definition: Capability,
  state: Pick<CapabilityState, 'phase' | 'shared' | 'weight'>,
  move: Pick<PlannedMove, 'to' | 'weight'>,
  facts: GateFacts,
): GateResult[] {
  const opens = opensToCohorts(definition, state, move) && 'begin to write';
  const ends = endsSharing(definition, state, move) && 'write no more';
  return evaluateGates(state.phase, move.to, facts, opens || ends || undefined);
}

/** How a move is made. */
export type MoveKind = 'switch' | 'opens to cohorts' | 'switch, then the move' | 'move';

export function kindOf(
  definition: Capability,
  state: Pick<CapabilityState, 'phase' | 'shared' | 'weight'>,
  move: Pick<PlannedMove, 'to' | 'weight'>,
): MoveKind {
  if (takesOwnership(state.phase, move.to)) return 'switch';
  if (opensToCohorts(definition, state, move)) return 'opens to cohorts';
  if (!state.shared || isShared(definition, move)) return 'move';
  // Leaving a write canary is a switch; what lies behind it is a move of its own.
  return move.to === 'canary' ? 'switch' : 'switch, then the move';
}

/** Where a request leads. Throws MOVE_NOT_ALLOWED, and USAGE for a weight that none can have. */
export function allowed(
  definition: Capability,
  request: MoveRequest,
  state: CapabilityState,
): Pick<PlannedMove, 'to' | 'weight'> {
  const outcome = TRANSITIONS[state.phase][request.event];
  if (outcome.kind === 'refused') throw notAllowed(state, outcome.why);
  const { to } = outcome;
  assertWayBack(definition, to);
  assertDestination(request, state.phase, to);
  return { to, weight: weightAfter(request, state, to) };
}

/** Where a request wants it to end up it is already. */
export function isThere(
  { to, event }: Pick<MoveRequest, 'to' | 'event'>,
  { phase }: Pick<CapabilityState, 'phase'>,
): boolean {
  return phase === to && event !== 'weight';
}

/** It is where it should be: a command that is given again, after another one finished the move. */
export function stayed(state: CapabilityState): MoveResult {
  const { capability, phase, weight } = state;
  return { capability, from: phase, to: phase, weight, gates: [] };
}

/** The phases on the way back to one, without the one it is in; undefined when there is no such way. */
export function wayBack(from: Phase, back: Phase): Phase[] | undefined {
  const steps: Phase[] = [];
  for (let at: Phase | undefined = from; at !== undefined; at = leadsTo(at, 'rollback')) {
    if (at !== from) steps.push(at);
    if (at === back) return steps;
  }
  return undefined;
}

export function leadsTo(from: Phase, event: Event): Phase | undefined {
  const outcome = TRANSITIONS[from][event];
  return outcome.kind === 'move' ? outcome.to : undefined;
}

export function weightAfter(request: MoveRequest, state: CapabilityState, to: Phase): number {
  if (to !== 'canary' && request.weight !== undefined)
    throw new BanyanError('USAGE', `this move leads to ${to}; a weight exists in canary only`, {
      hint: 'Leave --weight out.',
    });
  if (to !== 'canary') return 0;
  // Reads go back at once, unless they are to go step by step.
  if (request.event === 'rollback') return request.weight ?? 0;
  const weight = request.weight ?? (state.phase === 'canary' ? state.weight : 0);
  if (weight >= 0 && weight <= 100) return weight;
  throw new BanyanError('USAGE', `weight ${weight} is not a percentage`, {
    hint: 'Give a number from 0 to 100.',
  });
}

export function gateError(
  { capability: id, event }: Pick<MoveRequest, 'capability' | 'event'>,
  to: Phase,
  refused: readonly GateResult[],
  gates: readonly GateResult[],
): BanyanError {
  const lines = refused.map(
    (gate) =>
      `  - ${gate.gate}: ${gate.figure}, limit ${gate.limit} (${gate.verdict})${gate.note === undefined ? '' : `: ${gate.note}`}`,
  );
  return new BanyanError(
    'GATE_REFUSED',
    `capability "${id}" may not move to ${to}:\n${lines.join('\n')}`,
    {
      hint: hintFor(id, refused, event === 'rollback' ? 'roll back again' : 'advance again'),
      details: { gates },
    },
  );
}

function hintFor(id: string, refused: readonly GateResult[], again: string): string {
  if (refused.some((gate) => gate.gate === 'shadow mismatches' && gate.verdict === 'fail'))
    return `\`banyan shadow ${id}\` shows examples. Once the service is mended, \`banyan shadow ${id} --restart\` counts anew; then ${again}.`;
  const mend = refused.find((gate) => gate.verdict === 'fail' && gate.remedy !== undefined);
  if (mend) return `${mend.remedy ?? ''}; then ${again}.`;
  if (refused.some((gate) => gate.verdict === 'fail'))
    return `Mend what the gate names, then ${again}.`;
  const remedy = refused.find((gate) => gate.remedy !== undefined)?.remedy;
  if (remedy !== undefined) return `${remedy}; then ${again}.`;
  if (refused.some((gate) => gate.gate.startsWith('verify')))
    return `Run \`banyan verify ${id}\`, then ${again}.`;
  if (refused.some((gate) => gate.gate.startsWith('shadow')))
    return `Wait until more traffic has been compared, then ${again}.`;
  return `Is \`banyan sync\` running? \`banyan status\` shows how far it is; then ${again}.`;
}

export function notAllowed({ capability, phase }: CapabilityState, why: string): BanyanError {
  return new BanyanError('MOVE_NOT_ALLOWED', `capability "${capability}" is in ${phase}: ${why}`, {
    hint: '`banyan status` shows where it is, `banyan journal` how it came there.',
  });
}
