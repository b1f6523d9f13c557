// `banyan abort`: back to the monolith from any phase before retirement, with nothing left behind.
import type { Command } from 'commander';
import { openContext, type GlobalOptions } from './context.ts';
import { answer } from './output.ts';
import { describeLeaving, leavingRelays } from './relay-lines.ts';
import { interrupts } from './running.ts';

interface Flags {
  readonly why?: string;
  readonly loseServiceWrites?: boolean;
}

export function abortCommand(program: Command): void {
  program
    .command('abort <capability>')
    .description('give a migration up: back to the monolith, with nothing left behind')
    .option('--why <text>', 'for the journal')
    .option(
      '--lose-service-writes',
      'where the service’s writes cannot be brought back, or its database is gone: give them up',
    )
    .action(async (capability: string, flags: Flags, command: Command) => {
      const globals = command.optsWithGlobals<GlobalOptions>();
      const context = await openContext(globals);
      try {
        const { loseServiceWrites: losing = false, ...rest } = flags;
        const result = await context
          .coordinator({ interrupts })
          .abort({ capability, losing, ...rest });
        const leaving = await leavingRelays(context, capability);
        const lines = [
          `${capability}: ${result.from} → monolith`,
          ...result.lost.map((one) => `  lost: ${one}`),
          ...(result.astray.length > 0
            ? [
                `  The service’s tables stay closed to writers: ${result.astray.join(', ')} may still send them`,
                '  writes, and nobody hears of it. `banyan sync` removes that once it is heard of, or has been',
                '  gone for an hour.',
              ]
            : []),
          ...(result.serviceLeft
            ? [
                '  The service’s database does not answer: what Banyan has there (its schema, triggers,',
                '  slots and publications) stays. Should it come back, give this command again.',
              ]
            : []),
          ...leaving.flatMap(describeLeaving),
        ];
        const data = { ...result, ...(leaving.length > 0 && { leaving }) };
        answer(globals.json, data, lines.join('\n'));
      } finally {
        await context.close();
      }
    });
}
