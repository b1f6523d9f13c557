// `banyan rollout <capability>`: begins a rollout, or goes on with one, and drives it until it ends or
// waits for a human; `status`, `pause`, `resume`, `abort`, and `--detach`, which leaves the driving to `banyan sync`.
import type { Command } from 'commander';
import { BanyanError, type ErrorCode } from '../core/errors.ts';
import { describePlace } from '../control/domain/rollout.ts';
import { RolloutDriver } from '../control/rollout-driver.ts';
import { describeRow } from '../control/rollout-word.ts';
import type { RolloutEvent, RolloutRow } from '../control/rollout-store.ts';
import { outstanding } from '../control/webhook-queue.ts';
import { openContext, type Context, type GlobalOptions } from './context.ts';
import { named } from './named.ts';
import { answer } from './output.ts';
import { assertPreflight } from './preflight.ts';
import { rolloutsOf, type Rollouts } from './rollouts.ts';
import { interruption } from './running.ts';

interface Flags {
  readonly why?: string;
  readonly detach?: true;
}

type Work = (context: Context, capability: string, flags: Flags, json: boolean) => Promise<void>;

export function rolloutCommand(program: Command): void {
  const rollout = program
    .command('rollout')
    .description('walk a capability through its steps, and back by itself when a gate turns red');
  const add = (name: string, description: string, detaches: boolean, work: Work): void => {
    const command = rollout
      .command(`${name} <capability>`, { isDefault: name === 'start' })
      .description(description)
      .option('--why <text>', 'for the journal');
    if (detaches) command.option('--detach', 'leave the driving to `banyan sync`');
    command.action(async (capability: string, flags: Flags, self: Command) => {
      const globals = self.optsWithGlobals<GlobalOptions>();
      const context = await openContext(globals);
      try {
        named(context, capability);
        await work(context, capability, flags, globals.json);
      } finally {
        await context.close();
      }
    });
  };
  add(
    'start',
    'begin a rollout, or take up one that is under way (`banyan rollout <capability>`)',
    true,
    start,
  );
  add('resume', 'go on with one that waits for a human', true, resume);
  add('status', 'show where a rollout is and what it waits for', false, status);
  add('pause', 'stop where it is; red still leads back', false, pause);
  add('abort', 'end it, and bring the traffic back', true, abort);
}

const start: Work = async (context, capability, flags, json) => {
  const { options } = rolloutsOf(context);
  const state = await options.store.readOne(capability);
  if (state.phase === 'retired')
    throw new BanyanError('MOVE_NOT_ALLOWED', `capability "${capability}" has retired`, {
      hint: 'There is nothing left to roll out.',
    });
  if (state.phase === 'monolith') await assertPreflight(context, [capability]);
  const begun = await options.rollouts.begin(state, { who: context.who, why: flags.why ?? '' });
  const row = await options.rollouts.read(capability);
  if (!begun && (row?.status === 'paused' || row?.status === 'stuck'))
    throw waiting(row, `\`banyan rollout resume ${capability}\` goes on`);
  await drive(context, capability, flags, json);
};

const resume: Work = async (context, capability, flags, json) => {
  const { rollouts, store } = rolloutsOf(context).options;
  await decide(
    context,
    capability,
    ['paused', 'stuck'],
    'rollout resumed',
    flags,
    async (row, event) => {
      const { phase, weight, version } = await store.readOne(capability);
      const moved = phase !== row.phase || weight !== row.weight;
      return rollouts.change(
        row,
        {
          ...{ status: 'running', why: '', going: null, attempts: 0, watch: null, anew: true },
          ...(moved && { place: { phase, weight }, version }),
        },
        event,
      );
    },
  );
  await drive(context, capability, flags, json);
};

const pause: Work = async (context, capability, flags, json) => {
  const { rollouts } = rolloutsOf(context).options;
  const why = flags.why ?? `paused by ${context.who}`;
  await decide(context, capability, ['running'], 'rollout paused', flags, (row, event) =>
    rollouts.change(row, { status: 'paused', why, stops: true }, event),
  );
  answer(json, { capability, paused: true }, `${capability}: paused`);
};

const abort: Work = async (context, capability, flags, json) => {
  const { rollouts, store } = rolloutsOf(context).options;
  const why = flags.why ?? `aborted by ${context.who}`;
  await decide(
    context,
    capability,
    ['running', 'paused', 'stuck', 'rolling back'],
    'rollout aborted',
    flags,
    async (row, event) => {
      const { phase, weight, version } = await store.readOne(capability);
      // Whoever moved it while it waited for a human has brought it to where it now goes back from.
      const waits = row.status === 'paused' || row.status === 'stuck';
      const place = waits && { going: null, place: { phase, weight }, version };
      return rollouts.change(
        row,
        { status: 'rolling back', why, attempts: 0, stops: true, ...place },
        event,
      );
    },
  );
  await drive(context, capability, flags, json, true);
};

const status: Work = async (context, capability, _flags, json) => {
  const row = await rolloutsOf(context).options.rollouts.read(capability);
  const webhooks = await outstanding(context.db, capability);
  if (!row) {
    answer(json, { capability, status: 'none' }, `${capability}: no rollout`);
    return;
  }
  const { held, holder } = row;
  const lines = [
    `${capability}: ${describeRow(row)}`,
    ...(held ? [`  driven by ${holder ?? ''}`] : []),
    ...(row.going ? [`  on its way to ${describePlace(row.going)}`] : []),
    ...(webhooks.waiting + webhooks.givenUp > 0
      ? [
          `  webhooks: ${webhooks.waiting} to be told, ${webhooks.givenUp} given up${webhooks.error === null ? '' : ` (${webhooks.error})`}`,
        ]
      : []),
  ];
  answer(json, { ...shown(row), driver: held ? holder : null, webhooks }, lines.join('\n'));
};

/** A human's word: done to the row as it is, again where a driver has written meanwhile. */
async function decide(
  context: Context,
  capability: string,
  from: readonly RolloutRow['status'][],
  event: string,
  flags: Flags,
  change: (row: RolloutRow, event: RolloutEvent) => Promise<boolean>,
): Promise<void> {
  const { rollouts } = rolloutsOf(context).options;
  for (;;) {
    const row = await rollouts.read(capability);
    if (!row || !from.includes(row.status))
      throw new BanyanError(
        'MOVE_NOT_ALLOWED',
        row
          ? `the rollout of "${capability}" is ${describeRow(row)}`
          : `"${capability}" has no rollout`,
        { hint: `\`banyan rollout ${capability}\` begins one.` },
      );
    if (await change(row, { event, who: context.who, why: flags.why ?? '' })) return;
  }
}

async function drive(
  context: Context,
  capability: string,
  flags: Flags,
  json: boolean,
  aborting = false,
): Promise<void> {
  const say = (line: string): void => {
    if (!json) process.stdout.write(`${line}\n`);
  };
  const { options, webhooks }: Rollouts = rolloutsOf(context, say);
  if (flags.detach) {
    const row = await options.rollouts.read(capability);
    answer(json, row ? shown(row) : { capability }, `${capability}: left to \`banyan sync\``);
    return;
  }
  const signal = interruption();
  const told = new AbortController();
  const telling = webhooks.run(capability, told.signal);
  const row = await new RolloutDriver(options).run(capability, signal).finally(() => {
    told.abort();
  });
  await telling;
  await webhooks.flush(capability, LAST_WORD_MS);
  if (!row || signal.aborted)
    throw new BanyanError(
      'INTERRUPTED',
      `the rollout of "${capability}" goes on without this command`,
      {
        hint: `\`banyan sync\` takes it up, or \`banyan rollout ${capability}\`; \`banyan rollout pause ${capability}\` stops it.`,
      },
    );
  const hint = HINTS[row.status];
  if (row.status === 'done' || (aborting && row.status === 'rolled back')) {
    answer(json, shown(row), `${capability}: ${describeRow(row)}`);
    return;
  }
  throw waiting(row, hint ?? '');
}

/** For webhooks, before the command ends; `banyan sync` tells what is left. */
const LAST_WORD_MS = 3_000;

const HINTS: Partial<Record<RolloutRow['status'], string>> = {
  'rolled back': 'Mend what the gate names, then begin again.',
  paused: 'Look into it; then `banyan rollout resume`, or `abort`.',
  stuck:
    'The data are where they were, and `banyan sync` tries again each minute as long as it is red. `banyan status` shows the flows; then `banyan rollout resume`, or `abort` to try the way back again.',
};

const CODES: Partial<Record<RolloutRow['status'], ErrorCode>> = {
  'rolled back': 'ROLLED_BACK',
  paused: 'ROLLOUT_PAUSED',
  stuck: 'ROLLOUT_PAUSED',
};

function waiting(row: RolloutRow, hint: string): BanyanError {
  return new BanyanError(
    CODES[row.status] ?? 'MOVE_NOT_ALLOWED',
    `the rollout of "${row.capability}" is ${describeRow(row)}`,
    { hint, details: shown(row) },
  );
}

/** What a driver keeps for itself is left out. */
function shown(row: RolloutRow): object {
  return { ...row, watch: undefined, held: undefined };
}
