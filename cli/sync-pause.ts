// `banyan sync pause|resume`: stops the flows of a capability, or the copy of its tables alone, and
// lets them go on where they stopped.
import type { Command } from 'commander';
import type { Coordinator } from '../control/coordinator.ts';
import type { Pausable } from '../control/pauses.ts';
import { openContext, type GlobalOptions } from './context.ts';
import { answer } from './output.ts';

interface PauseFlags {
  readonly why?: string;
  readonly copy?: true;
}

export function pauseCommands(sync: Command): void {
  sync
    .command('pause <capability>')
    .description('stop its flows; what is written meanwhile waits in the source’s WAL')
    .option('--copy', 'only the copy of its tables; the stream goes on')
    .option('--why <text>', 'for the journal')
    .action((capability: string, flags: PauseFlags, command: Command) =>
      change(command, capability, 'paused', flags, (coordinator, what) =>
        coordinator.pauseFlows(capability, flags.why, what),
      ),
    );
  sync
    .command('resume <capability>')
    .description('let its flows and their copy go on where they stopped')
    .option('--copy', 'only the copy')
    .option('--why <text>', 'for the journal')
    .action((capability: string, flags: PauseFlags, command: Command) =>
      change(command, capability, 'resumed', flags, (coordinator, what) =>
        coordinator.resumeFlows(capability, flags.why, what),
      ),
    );
}

async function change(
  command: Command,
  capability: string,
  done: 'paused' | 'resumed',
  { copy }: PauseFlags,
  work: (coordinator: Coordinator, what: Pausable) => Promise<void>,
): Promise<void> {
  const globals = command.optsWithGlobals<GlobalOptions>();
  const context = await openContext(globals);
  try {
    const what = copy ? 'copy' : 'flows';
    await work(context.coordinator(), what);
    answer(
      globals.json,
      { capability, what, [done]: true },
      `${capability}: ${copy ? 'copy ' : ''}${done}`,
    );
  } finally {
    await context.close();
  }
}
