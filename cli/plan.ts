// `banyan plan`: the next step of each capability, what it would do, and what stands in its way. Changes nothing.
import type { Command } from 'commander';
import { BanyanError } from '../core/errors.ts';
import type { Capability } from '../control/definition.ts';
import { evaluateGates, watchedGates, type GateResult } from '../control/domain/gates.ts';
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
import type { Evidence } from '../control/evidence.ts';
import { gatherFacts } from '../control/gate-facts.ts';
import { lookAt } from '../control/rollout-look.ts';
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
  readonly does: readonly string[];
  /** Gates that do not pass, of where it is and of the next move. */
  readonly inTheWay: readonly GateResult[];
  /** What the rollout would do now, where one is under way. */
  readonly rollout: string | null;
}

async function planOf(context: Context, capability: string): Promise<Plan> {
  const { store, rollouts, evidence } = rolloutsOf(context).options;
  const definition = context.migration.capabilities[capability];
  if (!definition) throw new BanyanError('UNKNOWN_CAPABILITY', `no capability "${capability}"`);
  const state = await store.readOne(capability);
  const row = await rollouts.read(capability);
  const next = nextStep(stepsOf(definition.rollout), state);
  const look =
    row?.status === 'running' || row?.status === 'paused'
      ? (await lookAt(evidence, capability, definition, state, row)).facts
      : undefined;
  const all = look
    ? [...look.watched, ...look.ahead]
    : await gatesOf(evidence, definition, state, next);
  const inTheWay = [...new Map(all.map((gate) => [gate.gate, gate])).values()].filter(
    ({ verdict }) => verdict !== 'pass',
  );
  return {
    capability,
    at: describePlace(state),
    next: next ? describePlace(next) : null,
    does: next ? doings(state.phase, next.phase, next.weight, definition.tables.length > 0) : [],
    inTheWay,
    rollout: row && look ? `${describeRow(row)}; ${told(decideRollout(look))}` : null,
  };
}

/** Those of where it is and of the next move, as whoever moves it by hand would be asked. */
async function gatesOf(
  evidence: Evidence,
  definition: Capability,
  { capability, phase }: CapabilityState,
  next: Place | undefined,
): Promise<GateResult[]> {
  const to = next?.phase ?? phase;
  const facts = await gatherFacts(evidence, capability, definition, undefined, to);
  return [...watchedGates(phase, facts), ...(to === phase ? [] : evaluateGates(phase, to, facts))];
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
  const { capability, at, next, does, inTheWay, rollout } = plan;
  return [
    next === null
      ? `${capability}: in ${at}, where its rollout ends`
      : `${capability}: ${at} → ${next}`,
    ...does.map((line) => `  does: ${line}`),
    ...inTheWay.map(
      ({ gate, figure, limit, verdict, note, remedy }) =>
        `  in the way: ${gate}: ${figure}, limit ${limit} (${verdict})${[note, remedy].flatMap((one) => (one === undefined ? [] : [`; ${one}`])).join('')}`,
    ),
    ...(next !== null && inTheWay.length === 0 ? ['  nothing stands in its way'] : []),
    ...(rollout === null ? [] : [`  rollout: ${rollout}`]),
  ].join('\n');
}
