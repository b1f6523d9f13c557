// Where a request goes: a pure function of the compiled routes, the capabilities' states and the
// facts of the request. The phase table of the design is the switch below; nothing else in the
// facade looks at a phase to choose a path.
//
//   monolith, sync   reads and writes → monolith
//   shadow           the same, plus a copy of each sampled read
//   canary           reads by rule, then by weight of the cohort, but who has just written reads at
//                    the monolith until the service has caught up; writes → monolith
//   the same, shared writes by weight of a cohort that nobody can make up, and by rules only to the
//                    monolith; who has just written writes and reads there until the other side has it
//   cutover, retired reads and writes → service
//   holding          writes wait, whatever the phase
import type { CapabilityState } from '../../control/domain/state.ts';
import { writePath } from '../../control/domain/state.ts';
import type { Owner } from '../../control/domain/phase.ts';
import { inShare } from './cohort.ts';
import type { CohortSource, CompiledRule } from './policy.ts';
import type { Match, Routes } from './routes.ts';

export interface RequestFacts {
  /** As an upstream takes it, which may let a request say so in a field. */
  readonly takenMethod: string;
  /** Of the parsed target. */
  readonly segments: readonly string[];
  /** Nobody could read the target as another route; otherwise only the monolith may get it. */
  readonly certain: boolean;
  readonly requestId: string;
  /** By lower-case name; undefined for what is stripped (`x-banyan-*`). */
  header(name: string): string | undefined;
  cookie(name: string): string | undefined;
  query(name: string): string | undefined;
  /** Of the token that the request bears, as text; whether that is genuine nobody knows here. */
  claim(name: string): string | undefined;
  /** A random cohort key, for a client that has none. */
  freshCohort(): string;
}

export type Decision =
  /** No capability claims it: to the monolith, untouched. */
  | { readonly kind: 'unclaimed' }
  | {
      readonly kind: 'forward';
      readonly to: Owner;
      readonly match: Match;
      /** Send a copy to the service and compare. */
      readonly shadow: boolean;
      /** Value of the cohort cookie to set. */
      readonly setCohort: string | undefined;
    }
  /** A write during a switch: it waits, forwarded to nobody. */
  | { readonly kind: 'hold'; readonly match: Match }
  /**
   * Forwarded to nobody: nothing is known of the capability, nobody would stop a stray write, or the
   * service could read it as a route that is not claimed.
   */
  | {
      readonly kind: 'refuse';
      readonly match: Match;
      readonly why: 'state-unknown' | 'lease-lapsed' | 'ambiguous';
    };

export type Forward = Decision & { kind: 'forward' };

const UNCLAIMED: Decision = { kind: 'unclaimed' };

/** What a decision depends on besides the request and the states. */
export interface Surroundings<Facts extends RequestFacts> {
  /** Whether coordinators still count on this replica: its heartbeat is younger than its lease. */
  readonly leaseValid: () => boolean;
  /** Where this client has written what the other side may not have yet. */
  readonly wroteAt: (facts: Facts, capability: string) => Owner | undefined;
  /** Whether the key of a cohort, as it was brought, is one that a client could not make up. */
  readonly isVerified: (facts: Facts, key: string, source: CohortSource) => boolean;
}

/** Decides one request. */
export function decide<Facts extends RequestFacts>(
  routes: Routes,
  states: ReadonlyMap<string, CapabilityState>,
  facts: Facts,
  around: Surroundings<Facts>,
): Decision {
  const match = routes.match(facts.takenMethod, facts.segments);
  if (!match) return UNCLAIMED;
  const state = states.get(match.capability);
  if (!state) return { kind: 'refuse', match, why: 'state-unknown' };
  const decision =
    match.kind === 'write'
      ? decideWrite(match, state, facts, around)
      : decideRead(match, state, facts, around);
  return facts.certain ? decision : decideAmbiguous(decision, state);
}

/** The monolith may get it as long as it is the owner, as ever; the service never does. */
function decideAmbiguous(decision: Decision, state: CapabilityState): Decision {
  if (decision.kind !== 'forward') return decision;
  return writePath(state) === 'monolith'
    ? forward(decision.match, 'monolith')
    : { kind: 'refuse', match: decision.match, why: 'ambiguous' };
}

function decideWrite<Facts extends RequestFacts>(
  match: Match,
  state: CapabilityState,
  facts: Facts,
  around: Surroundings<Facts>,
): Decision {
  if (state.holding) return { kind: 'hold', match };
  // With tables, the fence stops a replica that was left behind. Without, only the replica can.
  if (!match.policy.hasTables && !around.leaseValid())
    return { kind: 'refuse', match, why: 'lease-lapsed' };
  return forward(match, state.shared ? sharedPath(match, state, facts, around) : writePath(state));
}

function decideRead<Facts extends RequestFacts>(
  match: Match,
  state: CapabilityState,
  facts: Facts,
  around: Surroundings<Facts>,
): Decision {
  switch (state.phase) {
    case 'monolith':
    case 'sync':
      return forward(match, 'monolith');
    case 'shadow':
      return forward(match, 'monolith', isSampled(match, facts));
    case 'canary': {
      const decision = decideCanary(match, state, facts, around);
      // What this client has just written may be there alone.
      const to = around.wroteAt(facts, match.capability) ?? decision.to;
      return to === decision.to ? decision : { ...decision, to };
    }
    case 'cutover':
    case 'retired':
      return forward(match, 'service');
  }
}

function decideCanary<Facts extends RequestFacts>(
  match: Match,
  state: CapabilityState,
  facts: Facts,
  around: Surroundings<Facts>,
): Forward {
  const { rules, cohort } = match.policy;
  for (const rule of rules) if (applies(rule, facts)) return forward(match, rule.to);
  // Whoever is to write by its cohort must have a key that counts for that.
  const known = state.shared ? verifiedKey(match, facts, around) : broughtKey(match, facts);
  const setCohort = known === undefined && cohort.given ? facts.freshCohort() : undefined;
  const to = cohortPath(match, state, setCohort ?? known);
  return { kind: 'forward', to, match, shadow: false, setCohort };
}

/** Where a write goes under a write canary. */
function sharedPath<Facts extends RequestFacts>(
  match: Match,
  state: CapabilityState,
  facts: Facts,
  around: Surroundings<Facts>,
): Owner {
  // One client's writes follow each other on one side, also while the weight changes.
  const before = around.wroteAt(facts, match.capability);
  if (before !== undefined) return before;
  const rule = match.policy.rules.find((one) => applies(one, facts));
  if (rule?.to === 'monolith') return 'monolith';
  return cohortPath(match, state, verifiedKey(match, facts, around));
}

function cohortPath(
  { policy }: Match,
  { weight }: CapabilityState,
  key: string | undefined,
): Owner {
  // Without a key nobody can be kept on a path, so nobody is moved before all are.
  const chosen =
    key === undefined
      ? weight >= 100
      : inShare(policy.capability, idOf(key, policy.cohort), weight / 100);
  return chosen ? 'service' : 'monolith';
}

function broughtKey({ policy }: Match, facts: RequestFacts): string | undefined {
  const { source, name } = policy.cohort;
  const known = facts[source](name);
  return known === '' ? undefined : known;
}

function verifiedKey<Facts extends RequestFacts>(
  match: Match,
  facts: Facts,
  around: Surroundings<Facts>,
): string | undefined {
  const key = broughtKey(match, facts);
  return key !== undefined && around.isVerified(facts, key, match.policy.cohort) ? key : undefined;
}

/** Of a key of ours, what stands before its signature: the same cohort whether it is signed or not. */
function idOf(key: string, { given }: CohortSource): string {
  const dot = given ? key.indexOf('.') : -1;
  return dot < 0 ? key : key.slice(0, dot);
}

function applies(rule: CompiledRule, facts: RequestFacts): boolean {
  const value = facts[rule.source](rule.name);
  return value !== undefined && rule.pattern.test(value);
}

/** The same draw for every share, so that the reads of a small sample are part of each larger one. */
function isSampled(match: Match, facts: RequestFacts): boolean {
  const { sample, capability } = match.policy;
  return sample >= 1 || inShare(`shadow ${capability}`, facts.requestId, sample);
}

function forward(match: Match, to: Owner, shadow = false): Forward {
  return { kind: 'forward', to, match, shadow, setCohort: undefined };
}
