// `banyan sync recopy`: takes a source that was promoted, and lost what its target has, as it is.
import type { Command } from 'commander';
import { BanyanError } from '../core/errors.ts';
import { withEnds } from '../control/ends.ts';
import { RelayReports } from '../control/relay-reports.ts';
import { recopy } from '../sync/index.ts';
import { openContext, type GlobalOptions } from './context.ts';
import { answer } from './output.ts';

export function recopyCommand(sync: Command): void {
  sync
    .command('recopy <capability>')
    .description('after a failover that lost changes: go on with the source as it is now')
    .action(async (capability: string, _flags: unknown, command: Command) => {
      const globals = command.optsWithGlobals<GlobalOptions>();
      const context = await openContext(globals);
      try {
        const definition = context.migration.capabilities[capability];
        if (!definition)
          throw new BanyanError('UNKNOWN_CAPABILITY', `there is no capability "${capability}"`, {
            hint: `The definition names: ${Object.keys(context.migration.capabilities).join(', ')}.`,
          });
        if (definition.source)
          throw new BanyanError(
            'MOVE_NOT_ALLOWED',
            "a connector's source that was promoted is not copied again in place",
            {
              hint: `Roll ${capability} back to monolith and begin its sync anew. From cutover on, where the service owns the rows, bring what differs to the monolith by hand before that.`,
            },
          );
        const where = { ...context.migration, connections: context.connections };
        const directions = await withEnds(where, capability, definition, async (ends) =>
          ends
            ? recopy(ends, new RelayReports(context.db), () =>
                context.coordinator().noteRecopy(capability),
              )
            : [],
        );
        answer(
          globals.json,
          { capability, directions },
          directions.length > 0
            ? `${capability}: sync ${directions.join(' and sync ')} goes on; its tables are copied again`
            : `${capability}: no flow has stopped behind a promotion of its source`,
        );
      } finally {
        await context.close();
      }
    });
}
