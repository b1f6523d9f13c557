// `banyan shadow`: what the copies told so far, route by route, and a new count once the service is mended.
import type { Command } from 'commander';
import { BanyanError } from '../core/errors.ts';
import { Evidence } from '../control/evidence.ts';
import type { ShadowGroup, ShadowSample } from '../control/shadow-counts.ts';
import { openContext, type GlobalOptions } from './context.ts';
import { answer, table } from './output.ts';

export function shadowCommand(program: Command): void {
  program
    .command('shadow <capability>')
    .description(
      'show what the shadow copies told: counts by route, and an example of each difference',
    )
    .option('--restart', 'count anew: the service has been mended')
    .option('--why <text>', 'for the journal, with --restart')
    .action(
      async (
        capability: string,
        flags: { readonly restart?: true; readonly why?: string },
        command: Command,
      ) => {
        const globals = command.optsWithGlobals<GlobalOptions>();
        const context = await openContext(globals);
        try {
          const known = Object.keys(context.migration.capabilities);
          if (!known.includes(capability))
            throw new BanyanError('UNKNOWN_CAPABILITY', `there is no capability "${capability}"`, {
              hint: `The definition names: ${known.join(', ')}.`,
            });
          if (flags.restart) await context.coordinator().restartShadow(capability, flags.why);
          const found = await new Evidence(context.db).shadow(capability);
          answer(
            globals.json,
            found,
            flags.restart
              ? `${capability}: counting anew`
              : describe(found.samples, found.mismatches),
          );
        } finally {
          await context.close();
        }
      },
    );
}

function describe(samples: readonly ShadowSample[], mismatches: readonly ShadowGroup[]): string {
  if (samples.length === 0) return 'nothing compared yet';
  const counts = table([
    ['route', 'compared', 'mismatched', 'undecided', 'dropped'],
    ...samples.map((one) => [
      ...[one.route, `${one.compared}`, `${one.mismatched}`],
      ...[`${one.undecided}`, `${one.dropped}`],
    ]),
  ]);
  return [counts, ...mismatches.map(example)].join('\n');
}

function example({
  route,
  path,
  count,
  example: { url, control, candidate },
}: ShadowGroup): string {
  return `  - ${route} at ${path} (${count}×), such as ${url}: the monolith says ${shown(control)}, the service ${shown(candidate)}`;
}

function shown(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value);
}
