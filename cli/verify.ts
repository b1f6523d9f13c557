// `banyan verify`: compares every mapped row of both sides and leaves the outcome as evidence.
import { InvalidArgumentError, Option, type Command } from 'commander';
import { BanyanError } from '../core/errors.ts';
import { Evidence } from '../control/evidence.ts';
import type { VerifyOutcome } from '../control/verify-outcomes.ts';
import { ownerOf, type Owner } from '../control/domain/phase.ts';
import { StateStore } from '../control/store.ts';
import { VerifyRuns } from '../control/verify-runs.ts';
import { verify, type VerifyOptions, type VerifySample } from '../sync/index.ts';
import { openContext, type Context, type GlobalOptions } from './context.ts';
import { answer } from './output.ts';
import { interruption } from './running.ts';
import { ProgressLine } from './verify-progress.ts';

interface VerifyFlags {
  readonly repair?: true;
  readonly resume?: true;
  readonly samples: number;
}

/** Of `banyan` itself, and of `banyan sync`. */
export function verifyCommand(parent: Command): void {
  comparison(parent, 'verify', 'compare both sides row by row, under load').option(
    '--repair',
    'have what is wrong read again from the owner',
  );
}

/** `verify --repair` by a name of its own. */
export function repairCommand(sync: Command): void {
  comparison(
    sync,
    'repair',
    'compare both sides, and have what is wrong read again from the owner',
    {
      repair: true,
    },
  );
}

function comparison(
  parent: Command,
  name: string,
  description: string,
  fixed: Pick<VerifyFlags, 'repair'> = {},
): Command {
  return parent
    .command(`${name} <capability>`)
    .description(description)
    .option('--resume', 'go on with a verification that was interrupted')
    .addOption(
      new Option('--samples <count>', 'differences to show; all are counted')
        .default(10)
        .argParser(wholeNumber),
    )
    .action(async (capability: string, flags: VerifyFlags, command: Command) => {
      const globals = command.optsWithGlobals<GlobalOptions>();
      const context = await openContext(globals);
      try {
        await run(context, globals, capability, { ...flags, ...fixed });
      } finally {
        await context.close();
      }
    });
}

async function run(
  context: Context,
  globals: GlobalOptions,
  capability: string,
  flags: VerifyFlags,
): Promise<void> {
  const progress = new ProgressLine(capability, globals.json);
  const repairFrom = flags.repair && (await ownerNow(context, capability));
  const outcome = await verifyCapability(context, capability, {
    onProgress: (made) => {
      progress.show(made);
    },
    signal: interruption(),
    samples: flags.samples,
    ...(repairFrom && { repairFrom }),
    ...(flags.resume && {
      resume: {
        onAnew: (why: string): void => {
          progress.say(`begins anew: ${why}`);
        },
      },
    }),
  }).finally(() => {
    progress.clear();
  });
  const owner = await ownerNow(context, capability);
  const wrong = outcome.missing + outcome.extra + outcome.different;
  const found = wrong === 0 ? '' : `\n${describeSamples(outcome, wrong)}`;
  if (wrong > 0 && repairFrom) {
    answer(
      globals.json,
      outcome,
      `${capability}: ${describe(outcome)}; they are read again from the ${repairFrom}, verify once more${found}`,
    );
    return;
  }
  if (wrong > 0)
    throw new BanyanError('VERIFY_DIFFERENT', `${capability}: ${describe(outcome)}${found}`, {
      hint: `The ${owner} owns the data, and so it is right; find out why before any switch. --repair has the rows read again from it.`,
      details: outcome,
    });
  answer(globals.json, outcome, `${capability}: ${describe(outcome)}`);
}

/**
 * Runs a verification and records it. Throws UNKNOWN_CAPABILITY, MOVE_NOT_ALLOWED, TIMED_OUT,
 * INTERRUPTED, DATABASE_UNREACHABLE.
 */
export async function verifyCapability(
  context: Context,
  id: string,
  options: Pick<VerifyOptions, 'onProgress' | 'repairFrom' | 'resume' | 'samples' | 'signal'> = {},
): Promise<VerifyOutcome> {
  const capability = context.migration.capabilities[id];
  const monolith = context.connections.monolith.database;
  const service = capability && context.connections.services[capability.service]?.database;
  if (!capability)
    throw new BanyanError('UNKNOWN_CAPABILITY', `there is no capability "${id}"`, {
      hint: `The definition names: ${Object.keys(context.migration.capabilities).join(', ')}.`,
    });
  if (capability.tables.length === 0 || !monolith || !service)
    throw new BanyanError('MOVE_NOT_ALLOWED', `capability "${id}" has no tables to verify`);
  const outcome = await verify({
    id,
    capability,
    monolith,
    service,
    runs: new VerifyRuns(context.db),
    ...options,
  });
  await new Evidence(context.db).addVerify(outcome);
  return outcome;
}

async function ownerNow(context: Context, capability: string): Promise<Owner> {
  return ownerOf((await new StateStore(context.db).readOne(capability)).phase);
}

function describe(outcome: VerifyOutcome): string {
  const unsettled = outcome.unsettled === 0 ? '' : `, ${outcome.unsettled} kept changing`;
  return `${outcome.rows} rows: ${outcome.missing} missing at the service, ${outcome.extra} extra there, ${outcome.different} different${unsettled}`;
}

function describeSamples({ samples }: VerifyOutcome, wrong: number): string {
  const lines = samples.map((one) => sample(one as VerifySample));
  const more = wrong - lines.length;
  return [...lines, ...(more > 0 ? [`  - and ${more} more: --samples shows them`] : [])].join('\n');
}

/** Both sides' values, for whichever of them is the owner; the monolith's as the service would write them. */
function sample(one: VerifySample): string {
  const columns = one.columns.map(({ column, expected, actual, why }) =>
    why === undefined
      ? `${column} is ${expected ?? 'null'} at the monolith, ${actual ?? 'null'} at the service`
      : `${column} has no form for the monolith's value: ${why}`,
  );
  return `  - ${one.table} (${one.key.join(', ')}) ${one.kind}${columns.length === 0 ? '' : `: ${columns.join('; ')}`}`;
}

function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Give a whole number.');
  return Number(text);
}
