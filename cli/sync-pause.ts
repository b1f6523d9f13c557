// `banyan sync pause|resume`: stops the flows of a capability, and lets them go on where they stopped.
import type { Command } from 'commander';
import type { Coordinator } from '../control/coordinator.ts';
import { openContext, type GlobalOptions } from './context.ts';
import { answer } from './output.ts';

export function pauseCommands(sync: Command): void {
  sync
    .command('pause <capability>')
    .description('stop its flows; what is written meanwhile waits in the source’s WAL')
    .option('--why <text>', 'for the journal')
    .action((capability: string, flags: { readonly why?: string }, command: Command) =>
      change(command, capability, 'paused', (coordinator) =>
        coordinator.pauseFlows(capability, flags.why),
      ),
    );
  sync
    .command('resume <capability>')
    .description('let its flows go on where they stopped')
    .option('--why <text>', 'for the journal')
    .action((capability: string, flags: { readonly why?: string }, command: Command) =>
      change(command, capability, 'resumed', (coordinator) =>
        coordinator.resumeFlows(capability, flags.why),
      ),
    );
}

async function change(
  command: Command,
  capability: string,
  done: 'paused' | 'resumed',
  work: (coordinator: Coordinator) => Promise<void>,
): Promise<void> {
  const globals = command.optsWithGlobals<GlobalOptions>();
  const context = await openContext(globals);
  try {
    await work(context.coordinator());
    answer(globals.json, { capability, [done]: true }, `${capability}: ${done}`);
  } finally {
    await context.close();
  }
}
