// `banyan plan`: the next step of each capability, what it would do, and what stands in its way. Changes nothing.
import type { Command } from 'commander';
import { BanyanError } from '../core/errors.ts';
import type { GateResult } from '../control/domain/gates.ts';
import { ownerOf, takesOwnership, type Phase } from '../control/domain/phase.ts';
import {
  decideRollout,
  describePlace,
  nextStep,
  type RolloutDecision,
} from '../control/domain/rollout.ts';
import { describeRow } from '../control/rollout-driver.ts';
import { lookAt } from '../control/rollout-look.ts';
import { openContext, type Context, type GlobalOptions } from './context.ts';
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
        const known = Object.keys(context.migration.capabilities);
        if (only !== undefined && !known.includes(only))
          throw new BanyanError('UNKNOWN_CAPABILITY', `there is no capability "${only}"`, {
            hint: `The definition names: ${known.join(', ')}.`,
          });
        const plans = await Promise.all(
          (only === undefined ? known : [only]).map((one) => planOf(context, one)),
        );
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
  const isUnderWay = row?.status === 'running' || row?.status === 'paused';
  const since = isUnderWay
    ? row
    : {
        version: await evidence.phaseVersion(capability),
        ...{ atMs: Infinity, nowMs: (await evidence.now()).getTime(), watch: null },
      };
  const { facts } = await lookAt(evidence, capability, definition, state, since);
  const next = nextStep(facts.steps, state);
  const all = [...facts.watched, ...facts.ahead];
  const inTheWay = [...new Map(all.map((gate) => [gate.gate, gate])).values()].filter(
    ({ verdict }) => verdict !== 'pass',
  );
  return {
    capability,
    at: describePlace(state),
    next: next ? describePlace(next) : null,
    does: next ? doings(state.phase, next.phase, next.weight, definition.tables.length > 0) : [],
    inTheWay,
    rollout: isUnderWay ? `${describeRow(row)}; ${told(decideRollout(facts))}` : null,
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
