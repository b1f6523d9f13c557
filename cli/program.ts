// What the `banyan` command does. Subcommands are a file each; here they are only put together.
import { readFileSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { BanyanError } from '../core/errors.ts';
import { abortCommand } from './abort.ts';
import { advanceCommand, rollbackCommand } from './move.ts';
import { demoCommand } from './demo.ts';
import { facadeCommand } from './facade.ts';
import { grantsCommand } from './grants.ts';
import { journalCommand } from './journal.ts';
import { kafkaCommand } from './kafka.ts';
import { answerError } from './output.ts';
import { planCommand } from './plan.ts';
import { preflightCommand } from './preflight.ts';
import { rehearseCommand } from './rehearse.ts';
import { relayCommand } from './relay.ts';
import { rolloutCommand } from './rollout.ts';
import { shadowCommand } from './shadow.ts';
import { statusCommand } from './status.ts';
import { syncCommand } from './sync.ts';
import { upCommand } from './up.ts';
import { verifyCommand } from './verify.ts';

const EXIT_CODES = `
Exit codes:
  0  done                     5  a gate refused the move
  2  usage or configuration   6  a switch was taken back, or a step timed out
  3  a database or Kafka does 7  a flow stopped, or a log
     not answer or refuses       lost changes
  4  the move is not allowed  8  verify found differences
  9  the demo found a failed request or a lost write
  10 a rollout has gone back 11 a rollout waits for a human
  70 a defect of banyan       130 interrupted`;

const program = new Command('banyan')
  .description(
    'Carves a monolith on PostgreSQL into services: traffic and data ownership move together.',
  )
  .version(version())
  .addOption(
    new Option('-c, --config <file>', 'the migration definition').default('banyan.config.ts'),
  )
  .option('--json', 'answer in JSON', false)
  .addOption(
    new Option('--log-level <level>', 'how much is logged to stderr')
      .choices(['debug', 'info', 'warn', 'error', 'silent'])
      .default('warn'),
  )
  .addHelpText('after', EXIT_CODES)
  .exitOverride()
  .configureOutput({ outputError: () => undefined });

for (const add of [
  upCommand,
  facadeCommand,
  syncCommand,
  relayCommand,
  statusCommand,
  planCommand,
  advanceCommand,
  rollbackCommand,
  rolloutCommand,
  abortCommand,
  rehearseCommand,
  shadowCommand,
  verifyCommand,
  journalCommand,
  preflightCommand,
  grantsCommand,
  demoCommand,
  kafkaCommand,
])
  add(program);

/** Runs what the command line asks for; the outcome is the process's exit code. */
export async function run(): Promise<void> {
  try {
    await program.parseAsync();
  } catch (error) {
    process.exitCode = exitCodeOf(error);
  }
}

function exitCodeOf(error: unknown): number {
  if (!(error instanceof CommanderError))
    return answerError(process.argv.includes('--json'), error);
  if (error.exitCode === 0) return 0;
  return answerError(
    process.argv.includes('--json'),
    new BanyanError('USAGE', error.message.replace(/^error: /, ''), {
      hint: `Run \`${helpFor(process.argv)}\` for what it takes.`,
    }),
  );
}

/** The help of the subcommand that was meant, where one was. */
function helpFor(args: readonly string[]): string {
  const meant = program.commands.find((one) => args.includes(one.name()));
  return meant ? `banyan ${meant.name()} --help` : 'banyan --help';
}

/** The package's version, from source or from dist. */
function version(): string {
  for (const up of ['../package.json', '../../package.json'])
    try {
      const found = JSON.parse(readFileSync(new URL(up, import.meta.url), 'utf8')) as {
        name?: string;
        version?: string;
      };
      if (found.name === 'banyan' && found.version !== undefined) return found.version;
    } catch {
      // Not there: the other one is.
    }
  return 'unknown';
}
