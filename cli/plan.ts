// `banyan plan`: the next step of each capability, what it would do, and what stands in its way. Changes nothing.
import type { Command } from 'commander';
import { BanyanError } from '../core/errors.ts';
import type { Capability } from '../control/definition.ts';
import { watchedGates, type GateFacts, type GateResult } from '../control/domain/gates.ts';
import { ownerOf, takesOwnership, type Phase } from '../control/domain/phase.ts';
import {
  decideRollout,
  describePlace,
  nextStep,
  stepsOf,
  type Place,
  type RolloutDecision,
} from '../control/domain/rollout.ts';
import { describeRow } from '../control/rollout-word.ts';
import type { CapabilityState } from '../control/domain/state.ts';
import { gatherFacts } from '../control/gate-facts.ts';
import type { DriverOptions } from '../control/rollout-driver.ts';
import { gatesAhead, lookAt, rightsAsked } from '../control/rollout-look.ts';
import { openContext, type Context, type GlobalOptions } from './context.ts';
import { named } from './named.ts';
import { answer } from './output.ts';
import { rolloutsOf } from './rollouts.ts';

export function planCommand(program: Command): void {
  program
    .command('plan [capability]')
    .description('show the next step, what it would do and what stands in its way; changes nothing')
    .action(async (only: string | undefined, _flags: unknown, command: Command) => {
      const globals = command.optsWithGlobals<GlobalOptions>();
      const context = await openContext(globals);
      try {
        const plans = await Promise.all(named(context, only).map((one) => planOf(context, one)));
        answer(globals.json, plans, plans.map(describe).join('\n'));
      } finally {
        await context.close();
      }
    });
}

interface Plan {
  readonly capability: string;
  readonly at: string;
  /** `banyan rollout`'s next place; null at its end. */
  readonly next: string | null;
  /** What takes it there by hand; null at the end. */
  readonly command: string | null;
  readonly does: readonly string[];
  /** Gates that do not pass: those that would refuse the command, or hold up the rollout that is under way. */
  readonly inTheWay: readonly GateResult[];
  /** Gates that are watched where it is and have failed. A change of weight is not refused for them. */
  readonly red: readonly GateResult[];
  /** Where a plain advance leads to instead, out of a canary whose next step is a share. */
  readonly instead: { readonly next: Phase; readonly inTheWay: readonly GateResult[] } | null;
  /** What the rollout would do now, where one is under way. */
  readonly rollout: string | null;
}

async function planOf(context: Context, capability: string): Promise<Plan> {
  const { options } = rolloutsOf(context);
  const { store, rollouts, evidence, rights } = options;
  const definition = context.migration.capabilities[capability];
  if (!definition) throw new BanyanError('UNKNOWN_CAPABILITY', `no capability "${capability}"`);
  const state = await store.readOne(capability);
  const row = await rollouts.read(capability);
  const next = nextStep(stepsOf(definition.rollout), state);
  const look =
    row?.status === 'running' || row?.status === 'paused'
      ? (await lookAt(evidence, capability, definition, state, row, rights)).facts
      : undefined;
  const facts = await factsOf(options, definition, state, next);
  const watched = watchedGates(state.phase, facts).filter(
    ({ gate }) => isServing(definition, state) || !gate.startsWith('canary '),
  );
  const ahead = next ? gatesAhead(definition, state, next, facts) : [];
  const inTheWay = open(look ? [...look.watched, ...look.ahead] : next ? ahead : watched);
  const named = new Set(inTheWay.map(({ gate }) => gate));
  return {
    capability,
    at: describePlace(state),
    next: next ? describePlace(next) : null,
    command: next ? commandTo(capability, next) : null,
    does: next ? doings(state.phase, next.phase, next.weight, definition.tables.length > 0) : [],
    inTheWay,
    red: watched.filter(({ gate, verdict }) => verdict === 'fail' && !named.has(gate)),
    instead:
      state.phase === 'canary' && next?.phase !== CUTOVER.phase
        ? {
            next: CUTOVER.phase,
            inTheWay: open(
              gatesAhead(
                definition,
                state,
                CUTOVER,
                await factsOf(options, definition, state, CUTOVER),
              ),
            ),
          }
        : null,
    rollout: row && look ? `${describeRow(row)}; ${told(decideRollout(look))}` : null,
  };
}

const CUTOVER = { phase: 'cutover', weight: 0 } as const;

/** Each gate that does not pass, once. */
function open(gates: readonly GateResult[]): GateResult[] {
  return [...new Map(gates.map((gate) => [gate.gate, gate])).values()].filter(
    ({ verdict }) => verdict !== 'pass',
  );
}

/** Without a weight a canary begins at none, and one that is under way ends. */
function commandTo(capability: string, { phase, weight }: Place): string {
  return `banyan advance ${capability}${phase === 'canary' ? ` --weight ${weight}` : ''}`;
}

/** Whom nobody asks gives no answers to be judged by. */
function isServing({ canary }: Capability, { phase, weight }: CapabilityState): boolean {
  return phase === 'cutover' || weight > 0 || canary.rules.some((rule) => rule.to === 'service');
}

/** What whoever makes the move by hand would be judged by. */
async function factsOf(
  { evidence, rights }: DriverOptions,
  definition: Capability,
  state: CapabilityState,
  next: Place | undefined,
): Promise<GateFacts> {
  const { capability, phase } = state;
  return {
    ...(await gatherFacts(evidence, capability, definition, undefined, next?.phase ?? phase)),
    ...(await rightsAsked(capability, definition, state, next, rights)),
  };
}

/** What the move to a place changes, in words. */
function doings(from: Phase, to: Phase, weight: number, hasTables: boolean): string[] {
  if (takesOwnership(from, to))
    return [
      `writes and reads go to the ${ownerOf(to)}, after a pause`,
      ...(hasTables
        ? [`the ${ownerOf(from)}'s tables are fenced, the flow drained, sequences raised`]
        : []),
    ];
  switch (to) {
    case 'sync':
      return hasTables ? ["the service's tables are fenced, and filled by the flow"] : [];
    case 'shadow':
      return ['a copy of each read goes to the service, and the answers are compared'];
    case 'canary':
      return [
        ...(hasTables && from !== 'canary' ? ['the way back is built and proven'] : []),
        `${weight} % of the read cohorts go to the service`,
      ];
    case 'monolith':
    case 'cutover':
    case 'retired':
      return [];
  }
}

function told(decision: RolloutDecision): string {
  switch (decision.kind) {
    case 'wait':
      return `waits: ${decision.why}`;
    case 'verify':
      return 'verifies next';
    case 'advance':
      return `goes on to ${describePlace(decision.to)} now`;
    case 'finish':
      return 'is through';
    case 'back':
      return `goes back: ${decision.why}`;
    case 'call':
      return `calls a human: ${decision.why}`;
  }
}

function describe(plan: Plan): string {
  const { capability, at, next, command, does, inTheWay, red, instead, rollout } = plan;
  return [
    next === null
      ? `${capability}: in ${at}, where its rollout ends`
      : `${capability}: ${at} → ${next}: \`${command ?? ''}\``,
    ...does.map((line) => `  does: ${line}`),
    ...inTheWay.map((gate) => `  in the way: ${describeGate(gate)}`),
    ...(next !== null && inTheWay.length === 0 ? ['  nothing stands in its way'] : []),
    ...red.map((gate) => `  red, and no obstacle: ${describeGate(gate)}`),
    ...(instead === null
      ? []
      : [
          `  without --weight: ${at} → ${instead.next}`,
          ...instead.inTheWay.map((gate) => `    in the way: ${describeGate(gate)}`),
          ...(instead.inTheWay.length === 0 ? ['    nothing stands in its way'] : []),
        ]),
    ...(rollout === null ? [] : [`  rollout: ${rollout}`]),
  ].join('\n');
}

function describeGate({ gate, figure, limit, verdict, note, remedy }: GateResult): string {
  const more = [note, remedy].filter((one) => one !== undefined);
  return [`${gate}: ${figure}, limit ${limit} (${verdict})`, ...more].join('; ');
}
