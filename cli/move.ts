// `banyan advance` and `banyan rollback`: one command, one move, or on the way back as many as are asked for.
import { InvalidArgumentError, Option, type Command } from 'commander';
import {
  BLOCKER_POLICIES,
  type BlockerPolicy,
  type MoveRequest,
  type MoveResult,
} from '../control/domain/move.ts';
import { PHASES, type Phase } from '../control/domain/phase.ts';
import type { DryRun } from '../control/dry-run.ts';
import { StateStore } from '../control/store.ts';
import { openContext, type Context, type GlobalOptions } from './context.ts';
import { describeDryRun } from './dry-run.ts';
import { answer } from './output.ts';
import { assertPreflight } from './preflight.ts';
import { describeLeaving, leavingRelays } from './relay-lines.ts';
import { describeMove, requestsBack, rollBack } from './roll-back.ts';
import { interrupts } from './running.ts';

interface Flags {
  readonly to?: Phase;
  readonly why?: string;
  readonly blockers?: BlockerPolicy;
  readonly dryRun?: true;
}

interface AdvanceFlags extends Flags {
  readonly weight?: number;
  readonly replaceTarget?: boolean;
}

export function advanceCommand(program: Command): void {
  program
    .command('advance <capability>')
    .description('move a capability one phase on, or change its weight in canary')
    .addOption(
      new Option('--weight <percent>', 'share of the read cohorts in canary').argParser(percent),
    )
    .addOption(
      new Option('--to <phase>', 'the phase it should end up in; needed for retired').choices(
        PHASES,
      ),
    )
    .option('--why <text>', 'for the journal')
    .option(
      '--replace-target',
      'begin sync although the tables of the service hold rows: they are overwritten, and deleted where the monolith lacks them',
    )
    .addOption(blockersOption())
    .option('--dry-run', DRY_RUN)
    .action(async (capability: string, flags: AdvanceFlags, command: Command) => {
      await run(command, async (context) => {
        const { dryRun, ...asked } = flags;
        const { phase } = await new StateStore(context.db).readOne(capability);
        const request: MoveRequest = {
          capability,
          event: phase === 'canary' && flags.weight !== undefined ? 'weight' : 'advance',
          ...asked,
        };
        if (dryRun) return context.coordinator().dryRun(capability, [request]);
        if (phase === 'monolith' && capability in context.migration.capabilities)
          await assertPreflight(context, [capability]);
        return [await context.coordinator({ interrupts }).move(request)];
      });
    });
}

export function rollbackCommand(program: Command): void {
  program
    .command('rollback <capability>')
    .description('move a capability one phase back, or step by step to an earlier one')
    .addOption(new Option('--to <phase>', 'the phase it should end up in').choices(PHASES))
    .option('--why <text>', 'for the journal')
    .addOption(blockersOption())
    .option('--dry-run', DRY_RUN)
    .action(async (capability: string, flags: Flags, command: Command) => {
      await run(command, async (context) => {
        const { dryRun, ...asked } = flags;
        const { phase } = await new StateStore(context.db).readOne(capability);
        const request = { capability, ...asked };
        return dryRun
          ? context.coordinator().dryRun(capability, requestsBack(phase, request))
          : rollBack(context.coordinator({ interrupts }), phase, request);
      });
    });
}

const DRY_RUN = 'show the gates, the steps and what each would touch; change nothing';

function blockersOption(): Option {
  return new Option(
    '--blockers <policy>',
    'long transactions in the way of a switch: refuse it, wait for them, or cancel them',
  ).choices(BLOCKER_POLICIES);
}

async function run(
  command: Command,
  move: (context: Context) => Promise<readonly (MoveResult | DryRun)[]>,
): Promise<void> {
  const globals = command.optsWithGlobals<GlobalOptions>();
  const context = await openContext(globals);
  try {
    const moves = await move(context);
    const [first, last] = [moves[0], moves.at(-1)];
    const leaving = last && !('steps' in last) ? await leavingRelays(context, last.capability) : [];
    const made = { ...last, ...(leaving.length > 0 && { leaving }) };
    const data = moves.length === 1 ? made : { ...made, from: first?.from, moves };
    const lines = moves.map((one) => ('steps' in one ? describeDryRun(one) : describeMove(one)));
    answer(globals.json, data, [...lines, ...leaving.flatMap(describeLeaving)].join('\n'));
  } finally {
    await context.close();
  }
}

function percent(text: string): number {
  const value = Number(text);
  if (!/^\d+(\.\d{1,2})?$/.test(text) || value > 100)
    throw new InvalidArgumentError('Give a number from 0 to 100, with two decimals at most.');
  return value;
}
