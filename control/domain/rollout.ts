// What a rollout does next: a pure function of where the capability is, what its gates say and how long
// it has been there. The shell (rollout-driver.ts) gathers those facts and does what is decided here.
//
//   sync → shadow → canary at each share → cutover: on when a step has baked and every gate passes;
//   red where the service serves somebody → back; red where it does not → a human is called;
//   in the cutover only what the service answers leads back: where a flow fails, or the monolith, its
//   data are not where ownership could go;
//   evidence that is missing → wait, and call a human when that takes too long; a copy that comes on is
//   waited for as long as it takes.
import type { RolloutSettings } from '../rollout-settings.ts';
import type { GateResult } from './gates.ts';
import { PHASES, type Phase } from './phase.ts';

export interface Place {
  readonly phase: Phase;
  /** Percent; 0 outside `canary`. */
  readonly weight: number;
}

/** The places that a rollout leads through, in order. */
export function stepsOf({ steps, to }: Pick<RolloutSettings, 'steps' | 'to'>): Place[] {
  return [
    { phase: 'sync', weight: 0 },
    { phase: 'shadow', weight: 0 },
    ...steps.map((weight): Place => ({ phase: 'canary', weight })),
    ...(to === 'cutover' ? [{ phase: to, weight: 0 } as const] : []),
  ];
}

/** The first step that lies before a place; undefined at the end. */
export function nextStep(steps: readonly Place[], at: Place): Place | undefined {
  return steps.find((step) => compare(step, at) > 0);
}

function compare(one: Place, other: Place): number {
  return PHASES.indexOf(one.phase) - PHASES.indexOf(other.phase) || one.weight - other.weight;
}

export function samePlace(one: Place, other: Place): boolean {
  return compare(one, other) === 0;
}

export function describePlace({ phase, weight }: Place): string {
  return phase === 'canary' ? `canary ${weight} %` : phase;
}

export interface RolloutFacts {
  readonly at: Place;
  readonly steps: readonly Place[];
  readonly settings: Pick<RolloutSettings, 'bakeMs' | 'waitMs'>;
  /** Some reads go to the service whatever the weight: by rule. */
  readonly byRule: boolean;
  /** Since the step began. */
  readonly atMs: number;
  /** Since the step began, or something that is waited for came on. */
  readonly idleMs: number;
  /** Since a watched gate has been red without a break; 0 when none is. */
  readonly redMs: number;
  /** The same of gates that are no lag. */
  readonly failingMs: number;
  /** What is watched where the capability is. */
  readonly watched: readonly GateResult[];
  /** The gates of the next move. */
  readonly ahead: readonly GateResult[];
}

export type RolloutDecision =
  | { readonly kind: 'wait'; readonly why: string }
  | { readonly kind: 'verify' }
  | { readonly kind: 'advance'; readonly to: Place }
  | { readonly kind: 'finish' }
  | { readonly kind: 'back'; readonly why: string }
  | { readonly kind: 'call'; readonly why: string };

/** A flow that fails for a moment is no reason to go back: other gates are red at once, this long is a flow. */
const RED_MS = 3_000;
/** What was down, or had much to do, catches up: only a lag that stays this long is red. */
const LAG_RED_MS = 60_000;
/** Whether a gate says only that something has not come yet. */
export function isLag(gate: string): boolean {
  return gate.endsWith(' lag');
}

/** Established by a test, not by one look. */
const AT_ONCE = new Set(['canary errors', 'canary p95', 'verify']);

export function decideRollout(facts: RolloutFacts): RolloutDecision {
  const { at, atMs, settings, ahead } = facts;
  const isServing =
    at.phase === 'cutover' || (at.phase === 'canary' && (at.weight > 0 || facts.byRule));
  // Whom nobody asks gives no answers.
  const watched = facts.watched.filter(({ gate }) => isServing || !gate.startsWith('canary '));
  const red = watched.filter((gate) => gate.verdict === 'fail');
  if (red.length > 0) {
    const why = told(red);
    const onlyLags = red.every(({ gate }) => isLag(gate));
    const isSettled =
      facts.redMs >= LAG_RED_MS ||
      facts.failingMs >= RED_MS ||
      red.some(({ gate }) => AT_ONCE.has(gate));
    if (!isSettled) return { kind: 'wait', why };
    const leadsBack = at.phase !== 'cutover' || red.some(({ gate }) => gate.startsWith('canary '));
    if (isServing) return { kind: leadsBack ? 'back' : 'call', why };
    // What only lags may catch up: nobody is served by it yet.
    if (!onlyLags) return { kind: 'call', why };
  }
  // Where nothing of the service is seen there is nothing to bake.
  const bakeMs = isServing || at.phase === 'shadow' ? settings.bakeMs : 0;
  if (atMs < bakeMs) return { kind: 'wait', why: `baking for another ${seconds(bakeMs - atMs)}` };
  const to = nextStep(facts.steps, at);
  const open = [...red, ...watched, ...(to ? ahead : [])].filter(
    ({ verdict }) => verdict !== 'pass',
  );
  if (open.length === 0) return to ? { kind: 'advance', to } : { kind: 'finish' };
  if (open.every(({ gate, verdict }) => gate.startsWith('verify') && verdict === 'inconclusive'))
    return { kind: 'verify' };
  if (Math.min(atMs - bakeMs, facts.idleMs) > settings.waitMs)
    return { kind: 'call', why: `still open after ${seconds(settings.waitMs)}: ${told(open)}` };
  return { kind: 'wait', why: told(open) };
}

export type WayDown =
  | { readonly kind: 'weight'; readonly weight: number }
  /** Ownership goes back; reads stay with the service at this share. */
  | { readonly kind: 'switch'; readonly weight: number }
  /** Rules lead reads to the service at every weight: out of `canary`. */
  | { readonly kind: 'leave' }
  | { readonly kind: 'wait' }
  | { readonly kind: 'done' };

/** The next step of a way back: traffic at once, or by the steps that are declared. */
export function wayDown(
  at: Place,
  { steps, everyMs }: RolloutSettings['rollback'],
  byRule: boolean,
  sinceMs: number,
): WayDown {
  if (at.phase === 'cutover') return { kind: 'switch', weight: steps[0] ?? 0 };
  if (at.phase !== 'canary') return { kind: 'done' };
  if (at.weight === 0) return byRule ? { kind: 'leave' } : { kind: 'done' };
  if (steps.length > 0 && sinceMs < everyMs) return { kind: 'wait' };
  return { kind: 'weight', weight: steps.find((one) => one < at.weight) ?? 0 };
}

/** Each gate once, in a line. */
export function told(gates: readonly GateResult[]): string {
  return [...new Map(gates.map((one) => [one.gate, one])).values()]
    .map(
      ({ gate, figure, limit, verdict, note }) =>
        `${gate}: ${figure}, limit ${limit} (${verdict})${note === undefined ? '' : `: ${note}`}`,
    )
    .join('; ');
}

function seconds(ms: number): string {
  return ms < 120_000 ? `${Math.ceil(ms / 1_000)} s` : `${Math.ceil(ms / 60_000)} min`;
}
