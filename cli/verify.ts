// `banyan verify`: compares every mapped row of both sides and leaves the outcome as evidence.
import type { Command } from 'commander';
import { BanyanError } from '../core/errors.ts';
import { Evidence, type VerifyOutcome } from '../control/evidence.ts';
import { ownerOf, type Owner } from '../control/domain/phase.ts';
import { StateStore } from '../control/store.ts';
import { verify, type VerifyOptions, type VerifySample } from '../sync/index.ts';
import { openContext, type Context, type GlobalOptions } from './context.ts';
import { answer } from './output.ts';

export function verifyCommand(program: Command): void {
  program
    .command('verify <capability>')
    .description('compare both sides row by row, under load')
    .option('--repair', 'have what is wrong read again from the owner')
    .action(async (capability: string, flags: { readonly repair?: true }, command: Command) => {
      const globals = command.optsWithGlobals<GlobalOptions>();
      const context = await openContext(globals);
      const progress = process.stderr.isTTY && !globals.json;
      try {
        const onProgress = (rows: number): void => {
          if (progress) process.stderr.write(`\r${rows} rows`);
        };
        const repairFrom = flags.repair && (await ownerNow(context, capability));
        const outcome = await verifyCapability(context, capability, {
          onProgress,
          ...(repairFrom && { repairFrom }),
        });
        if (progress) process.stderr.write('\r\x1b[K');
        const wrong = outcome.missing + outcome.extra + outcome.different;
        if (wrong > 0 && repairFrom) {
          answer(
            globals.json,
            outcome,
            `${capability}: ${describe(outcome)}; they are read again from the ${repairFrom}, verify once more`,
          );
          return;
        }
        if (wrong > 0)
          throw new BanyanError(
            'VERIFY_DIFFERENT',
            `${capability}: ${describe(outcome)}\n${outcome.samples.map((one) => sample(one as VerifySample)).join('\n')}`,
            {
              hint: 'The owner is right; find out why before any switch. --repair has the rows read again from it.',
              details: outcome,
            },
          );
        answer(globals.json, outcome, `${capability}: ${describe(outcome)}`);
      } finally {
        await context.close();
      }
    });
}

/** Runs a verification and records it. Throws UNKNOWN_CAPABILITY, MOVE_NOT_ALLOWED, TIMED_OUT. */
export async function verifyCapability(
  context: Context,
  id: string,
  options: Pick<VerifyOptions, 'onProgress' | 'repairFrom'> = {},
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
  return `${outcome.rows} rows: ${outcome.missing} missing, ${outcome.extra} extra, ${outcome.different} different${unsettled}`;
}

function sample(one: VerifySample): string {
  const columns = one.columns.map(
    (column) =>
      `${column.column} is ${column.actual ?? 'null'}, should be ${column.expected ?? 'null'}`,
  );
  return `  - ${one.table} (${one.key.join(', ')}) ${one.kind}${columns.length === 0 ? '' : `: ${columns.join('; ')}`}`;
}
