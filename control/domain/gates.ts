// Gates: what a move needs as evidence. Each gives its figure, its limit and a verdict; too little
// evidence is inconclusive, and inconclusive is not a pass.
import type { Gates } from '../definition.ts';
import type { FlowLine } from '../flow-reports.ts';
import type { VerifyLine } from '../verify-outcomes.ts';
import type { RightsFound, WayForward } from '../way-back.ts';
import { answerGates, type AnswerWatch } from './answer-gates.ts';
import type { Answers } from './answers.ts';
import type { Direction } from './flow.ts';
import { gate, type GateResult } from './gate-result.ts';
import { isOfAnother } from './other-mapping.ts';
import type { Phase } from './phase.ts';
import { shadowGates, type ShadowFacts } from './shadow-gates.ts';
import { wayBackGate, wayForwardGate } from './way-gates.ts';

export type { GateResult };

export interface GateFacts {
  readonly limits: Gates;
  readonly hasTables: boolean;
  /** Fingerprint of the mapping as it is; undefined where nobody asks. */
  readonly mapping?: string;
  readonly flows: readonly FlowLine[];
  readonly shadow: ShadowFacts;
  /** How both paths answered: in a rollout's step, or since the canary began. */
  readonly answers: Answers;
  /** What a rollout has made of them, look by look. */
  readonly watch?: AnswerWatch | undefined;
  readonly verify: VerifyLine | undefined;
  /** What the applier of sync back lacks at the monolith; undefined where nobody has looked. */
  readonly missingRights?: RightsFound | undefined;
  /** Whether the service could own again later; undefined where nobody has looked. */
  readonly wayForward?: WayForward | undefined;
  /** Why the monolith still needs its tables; empty when it does not. */
  readonly stillNeeded: readonly string[];
}

/** What a move does to the cohorts of a write canary. */
export type Cohorts = 'begin to write' | 'write no more';

/** The gates of a move from one phase to another, all of them, in the order they are printed. */
export function evaluateGates(
  from: Phase,
  to: Phase,
  facts: GateFacts,
  cohorts?: Cohorts,
): GateResult[] {
  const needs = [...(NEEDS[`${from}>${to}`] ?? []), ...(cohorts ? OF_COHORTS[cohorts] : [])];
  return needs
    .filter((gate) => facts.hasTables || !OF_TABLES.has(gate))
    .flatMap((gate) => GATES[gate](facts));
}

/** Those of the flows, all that there are where both run. */
export function flowGates(
  facts: GateFacts,
  directions: readonly Direction[] = ['to', 'back'],
): GateResult[] {
  return facts.hasTables ? directions.flatMap((direction) => flow(facts, direction)) : [];
}

/** What is watched while a capability stays where it is: red there is reason to go back. */
export function watchedGates(at: Phase, facts: GateFacts): GateResult[] {
  return (WATCHED[at] ?? [])
    .filter((gate) => facts.hasTables || !OF_TABLES.has(gate))
    .flatMap((gate) =>
      // What has not been verified lately is no reason to go back; what was found wrong is.
      GATES[gate](facts).filter(({ verdict }) => gate !== 'verify' || verdict === 'fail'),
    );
}

type Gate =
  | 'flow to'
  | 'flow back'
  | 'way back'
  | 'way forward'
  | 'backfill'
  | 'shadow'
  | 'answers'
  | 'conflicts'
  | 'verify'
  | 'tables free';

const OF_TABLES = new Set<Gate>([
  ...(['flow to', 'flow back', 'way back', 'way forward', 'backfill'] as const),
  ...(['conflicts', 'verify', 'tables free'] as const),
]);

const NEEDS: Readonly<Record<string, readonly Gate[]>> = {
  'sync>shadow': ['flow to', 'backfill'],
  'shadow>canary': ['flow to', 'backfill', 'shadow'],
  'canary>cutover': ['flow to', 'flow back', 'way back', 'conflicts', 'answers', 'verify'],
  'cutover>canary': ['flow back', 'way forward'],
  'cutover>retired': ['flow to', 'flow back', 'verify', 'tables free'],
};

const OF_COHORTS: Readonly<Record<Cohorts, readonly Gate[]>> = {
  'begin to write': ['way back'],
  // What they wrote comes back first: nobody is held for a drain that cannot end. What the service then lacks is
  // no reason to keep them there.
  'write no more': ['flow back', 'way forward'],
};

const WATCHED: Readonly<Partial<Record<Phase, readonly Gate[]>>> = {
  sync: ['flow to'],
  shadow: ['flow to', 'shadow'],
  canary: ['flow to', 'flow back', 'conflicts', 'answers', 'verify'],
  cutover: ['flow to', 'flow back', 'answers'],
};

const GATES: Readonly<Record<Gate, (facts: GateFacts) => GateResult[]>> = {
  'flow to': (facts) => flow(facts, 'to'),
  'flow back': (facts) => flow(facts, 'back'),
  'way back': ({ missingRights }) => [wayBackGate(missingRights)],
  // What the service writes comes back without it: who must go back is not kept there.
  'way forward': (facts) =>
    [...flow(facts, 'to'), ...(facts.wayForward ? [wayForwardGate(facts.wayForward)] : [])].map(
      (one) => ({ ...one, advisory: true as const }),
    ),
  backfill: ({ flows }) => {
    const line = flows.find((one) => one.direction === 'to');
    const tables = line?.backfill ?? [];
    const done = tables.filter((table) => table.done).length;
    const complete = tables.length > 0 && done === tables.length;
    return [
      {
        ...gate(
          'backfill',
          complete ? 'pass' : 'inconclusive',
          `${done} of ${tables.length} tables`,
          'all tables',
        ),
        ...(line?.status === 'copy paused' && {
          note: 'the copy is paused',
          remedy: `\`banyan sync resume ${line.capability} --copy\` lets it go on`,
        }),
        ...(line?.status === 'copy waits' && {
          note: 'the copy waits for transactions that were open when its tables were published',
          remedy: 'The log of `banyan sync` names them: it goes on by itself when they end',
        }),
      },
    ];
  },
  shadow: ({ shadow, limits }) => shadowGates(shadow, limits),
  answers: ({ answers, limits, watch }) => answerGates(answers, limits, watch),
  conflicts: ({ flows, limits }) => {
    const { conflicts: judged, capability = '' } =
      flows.find((one) => one.direction === 'back') ?? {};
    if (typeof judged !== 'number') return [];
    return [
      {
        ...gate(
          'conflicts',
          judged <= limits.conflicts ? 'pass' : 'fail',
          `${judged} judged`,
          `at most ${limits.conflicts}`,
        ),
        ...(judged > 0 && { note: '`banyan sync conflicts` lists them' }),
        ...(judged > limits.conflicts && {
          remedy: `\`banyan rollback ${capability}\` ends the canary, and the next one counts anew; or allow for more (gates.conflicts)`,
        }),
      },
    ];
  },
  verify: ({ verify, limits, mapping }) => {
    if (!verify) return [gate('verify', 'inconclusive', 'never run', 'a clean run')];
    if (isOfAnother(mapping, verify))
      return [
        {
          ...gate('verify', 'inconclusive', 'of another mapping', 'a clean run'),
          remedy: `The mapping has changed since: \`banyan verify ${verify.capability}\` compares by the present one`,
        },
      ];
    const wrong = verify.missing + verify.extra + verify.different;
    const settled = verify.unsettled === 0 ? 'pass' : 'inconclusive';
    return [
      gate(
        'verify',
        wrong === 0 ? settled : 'fail',
        `${wrong} wrong of ${verify.rows} rows`,
        'none wrong',
      ),
      gate(
        'verify age',
        verify.ageMs <= limits.verifyAgeMs ? 'pass' : 'inconclusive',
        seconds(verify.ageMs),
        `at most ${seconds(limits.verifyAgeMs)}`,
      ),
    ];
  },
  'tables free': ({ stillNeeded }) => [
    {
      ...gate(
        'tables free',
        stillNeeded.length === 0 ? 'pass' : 'fail',
        `${stillNeeded.length} needs`,
        'none, or leaves: copy',
      ),
      ...(stillNeeded.length > 0 && { note: stillNeeded.join('; ') }),
    },
  ],
};

/** Sync publishes four reports a second; after this much silence nothing is known, least of all that it lags. */
const SILENT_MS = 3_000;

function flow(facts: GateFacts, direction: Direction): GateResult[] {
  const label = direction === 'to' ? 'sync to' : 'sync back';
  const line = facts.flows.find((one) => one.direction === direction);
  if (!line) return [gate(label, 'inconclusive', 'not reported', 'running')];
  if (line.error !== null)
    return [{ ...gate(label, 'fail', line.status, 'running'), note: line.error }];
  // It is reported once, and silent then.
  if (line.status === 'paused')
    return [
      {
        ...gate(label, 'inconclusive', 'paused', 'running'),
        remedy: `\`banyan sync resume ${line.capability}\` lets it go on`,
      },
    ];
  if (line.reportAgeMs > SILENT_MS)
    return [gate(label, 'inconclusive', `silent for ${seconds(line.reportAgeMs)}`, 'running')];
  if (isOfAnother(facts.mapping, line))
    return [
      {
        ...gate(`${label} mapping`, 'inconclusive', 'another', 'as the definition has it'),
        remedy: 'The mapping has changed since sync was started: start it again',
      },
    ];
  // As of the report: what has passed since says nothing of the flow.
  const age =
    line.watermarkAgeMs === null ? null : Math.max(0, line.watermarkAgeMs - line.reportAgeMs);
  if ((line.parked ?? 0) > 0)
    return [
      {
        ...gate(`${label} parked`, 'fail', `${line.parked ?? 0} changes`, 'none'),
        note: '`banyan sync show` lists them',
      },
    ];
  if (age === null)
    return [
      gate(
        `${label} lag`,
        'inconclusive',
        'no watermark yet',
        `at most ${seconds(facts.limits.lagMs)}`,
      ),
    ];
  return [
    gate(
      `${label} lag`,
      age <= facts.limits.lagMs ? 'pass' : 'fail',
      seconds(age),
      `at most ${seconds(facts.limits.lagMs)}`,
    ),
  ];
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
