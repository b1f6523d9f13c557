// What the `banyan` command does. Subcommands are a file each; here they are only put together.
import { readFileSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { BanyanError } from '../core/errors.ts';
import { answerError } from './output.ts';

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

type Add = (program: Command) => void;

/** By name, in the order of the help. */
const COMMANDS: Readonly<Record<string, () => Promise<Add>>> = {
  up: async () => (await import('./up.ts')).upCommand,
  facade: async () => (await import('./facade.ts')).facadeCommand,
  sync: async () => (await import('./sync.ts')).syncCommand,
  relay: async () => (await import('./relay.ts')).relayCommand,
  status: async () => (await import('./status.ts')).statusCommand,
  plan: async () => (await import('./plan.ts')).planCommand,
  advance: async () => (await import('./move.ts')).advanceCommand,
  rollback: async () => (await import('./move.ts')).rollbackCommand,
  rollout: async () => (await import('./rollout.ts')).rolloutCommand,
  abort: async () => (await import('./abort.ts')).abortCommand,
  rehearse: async () => (await import('./rehearse.ts')).rehearseCommand,
  shadow: async () => (await import('./shadow.ts')).shadowCommand,
  verify: async () => (await import('./verify.ts')).verifyCommand,
  journal: async () => (await import('./journal.ts')).journalCommand,
  preflight: async () => (await import('./preflight.ts')).preflightCommand,
  grants: async () => (await import('./grants.ts')).grantsCommand,
  demo: async () => (await import('./demo.ts')).demoCommand,
  kafka: async () => (await import('./kafka.ts')).kafkaCommand,
};

/** Those that the command line names; all of them where it names none, or asks for help with all. */
async function addCommands(args: readonly string[]): Promise<void> {
  const all = Object.keys(COMMANDS);
  const named = all.filter((name) => args.includes(name));
  // What a command does not need is not loaded: each start is half a second shorter.
  const wanted = named.length === 0 || /^(-h|--help)$/.test(args[0] ?? '') ? all : named;
  for (const name of wanted) (await COMMANDS[name]?.())?.(program);
}

/** Runs what the command line asks for; the outcome is the process's exit code. */
export async function run(): Promise<void> {
  try {
    await addCommands(process.argv.slice(2));
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
