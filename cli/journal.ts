// `banyan journal`: every move of a capability, with who, when, why and the evidence.
import type { Command } from 'commander';
import { BanyanError } from '../core/errors.ts';
import { StateStore } from '../control/store.ts';
import { openContext, type GlobalOptions } from './context.ts';
import { answer, table } from './output.ts';

export function journalCommand(program: Command): void {
  program
    .command('journal <capability>')
    .description('show every move of a capability')
    .action(async (capability: string, _flags: unknown, command: Command) => {
      const globals = command.optsWithGlobals<GlobalOptions>();
      const context = await openContext(globals);
      try {
        const lines = await new StateStore(context.db).journal(capability);
        if (lines.length === 0 && !(capability in context.migration.capabilities))
          throw new BanyanError('UNKNOWN_CAPABILITY', `there is no capability "${capability}"`, {
            hint: `The definition names: ${Object.keys(context.migration.capabilities).join(', ')}.`,
          });
        const rows = lines.map((line) => [
          line.at,
          line.who,
          line.event,
          `${line.from} → ${line.to}`,
          line.why,
        ]);
        answer(globals.json, lines, table([['at', 'who', 'event', 'move', 'why'], ...rows]));
      } finally {
        await context.close();
      }
    });
}
