// `banyan journal`: every move of a capability, with who, when, why and the evidence.
import type { Command } from 'commander';
import { BanyanError } from '../core/errors.ts';
import { certificates, type Certificate } from '../control/certificates.ts';
import { StateStore } from '../control/store.ts';
import { openContext, type GlobalOptions } from './context.ts';
import { answer, span, table } from './output.ts';

interface Flags {
  readonly certificates?: boolean;
}

export function journalCommand(program: Command): void {
  program
    .command('journal <capability>')
    .description('show every move of a capability')
    .option('--certificates', 'what each switch of ownership leaves for the record')
    .action(async (capability: string, flags: Flags, command: Command) => {
      const globals = command.optsWithGlobals<GlobalOptions>();
      const context = await openContext(globals);
      try {
        const lines = await new StateStore(context.db).journal(capability);
        if (lines.length === 0 && !(capability in context.migration.capabilities))
          throw new BanyanError('UNKNOWN_CAPABILITY', `there is no capability "${capability}"`, {
            hint: `The definition names: ${Object.keys(context.migration.capabilities).join(', ')}.`,
          });
        if (flags.certificates) {
          const all = await certificates(context.db, capability);
          answer(globals.json, all, table([HEAD, ...all.map(lineOf)]));
          return;
        }
        const rows = lines.map((line) => [
          line.at,
          line.who,
          line.event,
          `${line.from} → ${line.to}`,
          line.why,
        ]);
        // Each switch's certificate goes with the line that it began with.
        const all = globals.json ? await certificates(context.db, capability) : [];
        const told = lines.map((line) => {
          const certificate = all.find((one) => one.journal === line.id);
          return certificate ? { ...line, certificate } : line;
        });
        answer(globals.json, told, table([['at', 'who', 'event', 'move', 'why'], ...rows]));
      } finally {
        await context.close();
      }
    });
}

const HEAD = [
  ...['started', 'switch', 'outcome', 'who', 'gates', 'verified', 'drained to', 'paused', 'held'],
];

function lineOf(one: Certificate): string[] {
  const passed = one.gates.filter((gate) => gate.verdict === 'pass').length;
  return [
    one.startedAt,
    `${one.from} → ${one.to}`,
    one.outcome,
    one.who,
    `${passed} of ${one.gates.length}`,
    one.verified ? `${one.verified.rows} rows` : '-',
    one.drainedTo ?? '-',
    one.pauseMs === null ? '-' : span(one.pauseMs),
    one.held === null ? '-' : `${one.held.writes} writes`,
  ];
}
