// `banyan sync show|retry|reread|skip`: the changes that could not be applied, and what to do about them.
import type { Command } from 'commander';
import { BanyanError } from '../core/errors.ts';
import {
  lettersAfterRetry,
  listLetters,
  rereadLetters,
  retryLetters,
  skipLetter,
  type Appliers,
  type LetterLine,
} from '../sync/index.ts';
import { openContext, type Context, type GlobalOptions } from './context.ts';
import { answer, table } from './output.ts';

export function letterCommands(sync: Command): void {
  sync
    .command('show <capability>')
    .description('list the changes that could not be applied, and those that wait behind them')
    .action(
      act(async ({ appliers, capability }) => {
        const letters = await listLetters(capability, appliers);
        return { data: letters, text: describe(letters) };
      }),
    );
  sync
    .command('retry <capability>')
    .description('try them again: what refused them has been mended')
    .action(
      act(async ({ appliers, capability }) => {
        const retried = await retryLetters(capability, appliers);
        const parked = await lettersAfterRetry(capability, appliers, RETRY_MS);
        return { data: { retried, parked: parked ?? null }, text: told(retried, parked) };
      }),
    );
  sync
    .command('reread <capability>')
    .description('give them up, and read their rows again from the owner as they are now')
    .action(
      act(async ({ appliers, capability }) => {
        const reread = await rereadLetters(capability, appliers);
        return {
          data: { reread },
          text: `${capability}: the rows of ${reread} changes are read again`,
        };
      }),
    );
  sync
    .command('skip <capability> <direction> <id>')
    .description('give one up for good; verify will find the difference')
    .action(
      act(async ({ appliers, capability, context }, [direction = '', id = '']) => {
        if (direction !== 'to' && direction !== 'back')
          throw new BanyanError('USAGE', `"${direction}" is no direction`, {
            hint: 'to: from the monolith to the service; back: the other way.',
          });
        if (!/^\d+$/.test(id))
          throw new BanyanError('USAGE', `"${id}" is no number of a parked change`, {
            hint: `\`banyan sync show ${capability}\` lists them.`,
          });
        const tables = context.migration.capabilities[capability]?.tables;
        const reread = await skipLetter(capability, appliers, direction, id, tables);
        const then = reread ? ', and the service gets the row as the monolith has it' : '';
        return {
          data: { skipped: id, reread },
          text: `${capability}: change ${id} is given up${then}`,
        };
      }),
    );
}

/** How long a flow that runs has to take note of a retry. */
const RETRY_MS = 5_000;

/** How a retry went; nobody knows yet where no flow has taken note of it. */
function told(retried: number, parked: readonly LetterLine[] | undefined): string {
  if (retried === 0) return describe([]);
  const changes = retried === 1 ? '1 change' : `${retried} changes`;
  if (!parked)
    return `${changes} will be tried again once a flow takes note; \`banyan sync status\` shows whether one runs`;
  if (parked.length === 0) return `${changes} tried again, and applied`;
  return `${changes} tried again; ${parked.length} parked still:\n${describe(parked)}`;
}

interface Asked {
  readonly capability: string;
  readonly context: Context;
  readonly appliers: Appliers;
}

type Answer = { readonly data: unknown; readonly text: string };

/** An action that gets the capability, and the logins of its appliers. */
function act(
  work: (asked: Asked, rest: string[]) => Promise<Answer>,
): (...args: unknown[]) => Promise<void> {
  return async (...args) => {
    const command = args.at(-1) as Command;
    const [capability = '', ...rest] = command.args;
    const globals = command.optsWithGlobals<GlobalOptions>();
    const context = await openContext(globals);
    try {
      const { data, text } = await work(
        { capability, context, appliers: appliersOf(context, capability) },
        rest,
      );
      answer(globals.json, data, text);
    } finally {
      await context.close();
    }
  };
}

/** The logins of the appliers at both ends of a capability. */
export function appliersOf({ migration, connections }: Context, id: string): Appliers {
  const capability = migration.capabilities[id];
  if (!capability)
    throw new BanyanError('UNKNOWN_CAPABILITY', `there is no capability "${id}"`, {
      hint: `The definition names: ${Object.keys(migration.capabilities).join(', ')}.`,
    });
  const to = connections.services[capability.service]?.database?.applier;
  const back = connections.monolith.database?.applier;
  if (to === undefined || back === undefined)
    throw new BanyanError('MOVE_NOT_ALLOWED', `capability "${id}" has no tables, and so no flows`);
  return { to, back };
}

function describe(letters: readonly LetterLine[]): string {
  if (letters.length === 0) return 'nothing is parked';
  return table([
    ['direction', 'id', 'change', 'row', 'since', 'tries', 'why'],
    ...letters.map((one) => [
      one.direction,
      one.id,
      `${one.change.kind} of ${one.table}`,
      one.keys.map((key) => key.join('/')).join(' → '),
      one.parkedAt.slice(0, 19).replace('T', ' '),
      String(one.attempts),
      one.error ?? 'waits behind an earlier change of this row',
    ]),
  ]);
}
