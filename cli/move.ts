// `banyan advance` and `banyan rollback`: one command, one move, or on the way back as many as are asked for.
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { MoveRequest, MoveResult } from '../control/domain/move.ts';
import { PHASES, type Phase } from '../control/domain/phase.ts';
import { StateStore } from '../control/store.ts';
import { openContext, type Context, type GlobalOptions } from './context.ts';
import { answer } from './output.ts';
import { assertPreflight } from './preflight.ts';
import { describeMove, rollBack } from './roll-back.ts';

interface AdvanceFlags {
  readonly weight?: number;
  readonly why?: string;
  readonly to?: Phase;
  readonly replaceTarget?: boolean;
}

interface RollbackFlags {
  readonly to?: Phase;
  readonly why?: string;
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
    .option('--replace-target', 'begin sync although the tables of the service hold rows')
    .action(async (capability: string, flags: AdvanceFlags, command: Command) => {
      await run(command, async (context) => {
        const { phase } = await new StateStore(context.db).readOne(capability);
        if (phase === 'monolith' && capability in context.migration.capabilities)
          await assertPreflight(context, [capability]);
        const request: MoveRequest = {
          capability,
          event: phase === 'canary' && flags.weight !== undefined ? 'weight' : 'advance',
          ...flags,
        };
        return [await context.coordinator().move(request)];
      });
    });
}

export function rollbackCommand(program: Command): void {
  program
    .command('rollback <capability>')
    .description('move a capability one phase back, or step by step to an earlier one')
    .addOption(new Option('--to <phase>', 'the phase it should end up in').choices(PHASES))
    .option('--why <text>', 'for the journal')
    .action(async (capability: string, flags: RollbackFlags, command: Command) => {
      await run(command, async (context) => {
        const { phase } = await new StateStore(context.db).readOne(capability);
        return rollBack(context.coordinator(), phase, { capability, ...flags });
      });
    });
}

async function run(
  command: Command,
  move: (context: Context) => Promise<readonly MoveResult[]>,
): Promise<void> {
  const globals = command.optsWithGlobals<GlobalOptions>();
  const context = await openContext(globals);
  try {
    const moves = await move(context);
    const [first, last] = [moves[0], moves.at(-1)];
    const data = moves.length === 1 ? last : { ...last, from: first?.from, moves };
    answer(globals.json, data, moves.map(describeMove).join('\n'));
  } finally {
    await context.close();
  }
}

function percent(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0 || value > 100)
    throw new InvalidArgumentError('Give a number from 0 to 100.');
  return value;
}
