// `banyan sync conflicts`: what both sides of a write canary changed at once, and which of the two stands.
import type { Command } from 'commander';
import type { ConflictRow } from '../control/index.ts';
import { listConflicts, type ConflictLine } from '../sync/index.ts';
import { openContext, type GlobalOptions } from './context.ts';
import { answer, table } from './output.ts';
import { appliersOf } from './sync-letters.ts';

export function conflictsCommand(sync: Command): void {
  sync
    .command('conflicts [capability]')
    .description(
      'list the newest conflicts of a write canary with their verdicts; --json: both rows',
    )
    .action(async (only: string | undefined, _flags: unknown, command: Command) => {
      const globals = command.optsWithGlobals<GlobalOptions>();
      const context = await openContext(globals);
      try {
        const { capabilities } = context.migration;
        const chosen =
          only === undefined
            ? Object.keys(capabilities).filter((id) => capabilities[id]?.canary.writes)
            : [only];
        const lines = [];
        for (const capability of chosen)
          for (const one of await listConflicts(capability, appliersOf(context, capability).back))
            lines.push({ capability, ...one });
        answer(globals.json, lines, describe(lines));
      } finally {
        await context.close();
      }
    });
}

function describe(lines: readonly (ConflictLine & { readonly capability: string })[]): string {
  if (lines.length === 0) return 'no conflict has been met';
  return table([
    ['capability', 'when', 'change', 'row', 'why', 'stands', 'by', 'in question'],
    ...lines.map((one) => [
      one.capability,
      one.at.slice(0, 19).replace('T', ' '),
      `${one.operation} of ${one.source}`,
      Object.values(one.key).join('/'),
      one.reason,
      one.verdict,
      one.policy,
      inQuestion(one),
    ]),
  ]);
}

/** What the two rows differ in; of a unique value, which row has it. */
function inQuestion({ reason, key, owner, incoming }: ConflictLine): string {
  if (reason === 'unique' && owner)
    return `held by ${Object.keys(key)
      .map((name) => owner[name])
      .join('/')}`;
  return differing(owner, incoming).join(', ') || '-';
}

/** Columns in which the two rows differ. */
function differing(owner: ConflictRow | null, incoming: ConflictRow | null): string[] {
  if (!owner || !incoming) return [];
  return Object.keys(incoming).filter((name) => owner[name] !== incoming[name]);
}
