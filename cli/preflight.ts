// `banyan preflight`: the definition against the live databases, changing nothing.
import type { Command } from 'commander';
import { BanyanError } from '../core/errors.ts';
import { preflight, type Finding } from '../sync/index.ts';
import { loadConfig, readRunning, type GlobalOptions, type Loaded } from './context.ts';
import { answer } from './output.ts';
import { checkSurroundings } from './surroundings.ts';

export function preflightCommand(program: Command): void {
  program
    .command('preflight')
    .description('check the definition against the live databases')
    .action(async (_flags: unknown, command: Command) => {
      const globals = command.optsWithGlobals<GlobalOptions>();
      const loaded = await loadConfig(globals.config);
      const { migration, connections, directory } = loaded;
      const control = connections.control ?? readRunning(directory).control;
      const findings = [
        ...(await checkSurroundings(connections, control)),
        ...(await preflight(migration, connections)),
      ];
      refuse(findings, warned(findings));
      answer(
        globals.json,
        { findings },
        findings.length === 0 ? nothing(loaded) : warnings(findings),
      );
    });
}

function nothing({ migration }: Loaded): string {
  const capabilities = Object.values(migration.capabilities);
  return capabilities.some((one) => one.tables.length > 0)
    ? 'nothing to mend'
    : 'nothing to look at: no capability has tables';
}

/** With errors among them, it has been refused. */
function warnings(findings: readonly Finding[]): string {
  const count = findings.length === 1 ? 'a warning' : `${findings.length} warnings`;
  return `${findings.map(line).join('\n')}\nnothing must be mended; ${count} to decide on`;
}

/** What is to be decided on besides what must be mended. */
function warned(findings: readonly Finding[]): string {
  const lines = findings.filter(({ severity }) => severity === 'warning').map(line);
  return lines.length === 0 ? '' : `\nto decide on:\n${lines.join('\n')}`;
}

/** Throws one error that names every finding that must be mended. */
export async function assertPreflight(
  loaded: Pick<Loaded, 'migration' | 'connections'>,
  only?: readonly string[],
): Promise<void> {
  refuse(await preflight(loaded.migration, loaded.connections, only));
}

function refuse(findings: readonly Finding[], besides = ''): void {
  const errors = findings.filter((finding) => finding.severity === 'error');
  if (errors.length === 0) return;
  throw new BanyanError(
    'PREFLIGHT_FAILED',
    `the databases are not ready:\n${errors.map(line).join('\n')}${besides}`,
    {
      hint: 'Each line says how to mend it; `banyan preflight` checks again.',
      details: { findings },
    },
  );
}

function line(finding: Finding): string {
  return `  - ${finding.where}: ${finding.what}\n    ${finding.hint}`;
}
