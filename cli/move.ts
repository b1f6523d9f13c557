// `banyan advance` and `banyan rollback`: one command, one move.
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { MoveRequest, MoveResult } from '../control/domain/move.ts';
import { PHASES, type Phase } from '../control/domain/phase.ts';
import { StateStore } from '../control/store.ts';
import { openContext, type Context, type GlobalOptions } from './context.ts';
import { answer } from './output.ts';
import { assertPreflight } from './preflight.ts';

interface AdvanceFlags {
  readonly weight?: number;
  readonly why?: string;
  readonly to?: Phase;
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
    .option('--replace-target', 'begin sync although the tables of the service hold rows')
    .action(async (capability: string, flags: AdvanceFlags, command: Command) => {
      await run(command, async (context) => {
        const { phase } = await new StateStore(context.db).readOne(capability);
        if (phase === 'monolith' && capability in context.migration.capabilities)
          await assertPreflight(context, [capability]);
        return {
          capability,
          event: phase === 'canary' && flags.weight !== undefined ? 'weight' : 'advance',
          ...flags,
        };
      });
    });
}

export function rollbackCommand(program: Command): void {
  program
    .command('rollback <capability>')
    .description('move a capability one phase back')
    .option('--why <text>', 'for the journal')
    .action(async (capability: string, flags: { why?: string }, command: Command) => {
      await run(command, () => Promise.resolve({ capability, event: 'rollback', ...flags }));
    });
}

async function run(
  command: Command,
  request: (context: Context) => Promise<MoveRequest>,
): Promise<void> {
  const globals = command.optsWithGlobals<GlobalOptions>();
  const context = await openContext(globals);
  try {
    const result = await context.coordinator().move(await request(context));
    answer(globals.json, result, describe(result));
  } finally {
    await context.close();
  }
}

function describe(result: MoveResult): string {
  const weight = result.to === 'canary' ? ` at ${result.weight} %` : '';
  const pause = result.pauseMs === undefined ? '' : `; writes paused for ${result.pauseMs} ms`;
  const gates = result.gates.map(
    (gate) => `  ${gate.verdict}  ${gate.gate}: ${gate.figure} (limit ${gate.limit})`,
  );
  const moved =
    result.from === result.to && result.to !== 'canary'
      ? `is in ${result.to}`
      : `${result.from} → ${result.to}`;
  return [`${result.capability}: ${moved}${weight}${pause}`, ...gates].join('\n');
}

function percent(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0 || value > 100)
    throw new InvalidArgumentError('Give a number from 0 to 100.');
  return value;
}
