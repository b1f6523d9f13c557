// `banyan sync`: the process that runs all flows, and looks after switches whose coordinator died.
import { Option, type Command } from 'commander';
import type { Part } from '../core/lifecycle.ts';
import type { MetricsOptions } from '../core/metrics.ts';
import { caretakerPart } from '../control/caretaker.ts';
import { Evidence } from '../control/evidence.ts';
import { RelayReports } from '../control/relay-reports.ts';
import { rolloutPart } from '../control/rollout-part.ts';
import { StateStore } from '../control/store.ts';
import { flowMetrics, relayMetrics, relayPart, syncPart } from '../sync/index.ts';
import { openContext, type Context, type GlobalOptions } from './context.ts';
import { loseChange } from './faults.ts';
import { keepSmall } from './heap.ts';
import { metricsParts, withMetricsFlags, type MetricsFlags } from './metrics.ts';
import { answer } from './output.ts';
import { assertPreflight, preflightCommand } from './preflight.ts';
import { rolloutsOf } from './rollouts.ts';
import { runParts } from './running.ts';
import { conflictsCommand } from './sync-conflicts.ts';
import { letterCommands } from './sync-letters.ts';
import { pauseCommands } from './sync-pause.ts';
import { recopyCommand } from './sync-recopy.ts';
import { flowStatusCommand } from './sync-status.ts';
import { warnOfUndefined } from './undefined-capabilities.ts';
import { repairCommand, verifyCommand } from './verify.ts';

interface SyncFlags {
  readonly fault?: 'lose-change';
}

export function syncCommand(program: Command): void {
  const sync = program
    .command('sync')
    .description('run the flows between the databases; its subcommands look after them');
  withMetricsFlags(sync, 'of all flows, and relays')
    .addOption(
      new Option('--fault <name>', 'inject a fault, to see it found')
        .choices(['lose-change'])
        .hideHelp(),
    )
    .action(async (flags: SyncFlags & MetricsFlags, command: Command) => {
      const globals = command.optsWithGlobals<GlobalOptions>();
      const context = await openContext(globals, 'sync');
      try {
        await beforeFirstStart(context);
        let metrics: string | undefined;
        await runParts(
          [
            ...metricsParts(context, flags, figuresOf(context), (url) => {
              metrics = url;
            }),
            ...syncParts(context, flags),
          ],
          () => {
            answer(
              globals.json,
              { ready: true, pid: process.pid, ...(metrics !== undefined && { metrics }) },
              `sync is running${metrics === undefined ? '' : `, its figures on ${metrics}`}`,
            );
          },
          keepSmall,
        );
      } finally {
        await context.close();
      }
    });
  flowStatusCommand(sync);
  pauseCommands(sync);
  recopyCommand(sync);
  letterCommands(sync);
  conflictsCommand(sync);
  // Commands of their own as well: whoever looks after the flows looks for them here.
  preflightCommand(sync);
  verifyCommand(sync);
  repairCommand(sync);
}

export function syncParts(context: Context, flags: SyncFlags = {}): Part[] {
  const capabilities = Object.keys(context.migration.capabilities);
  const { options, webhooks } = rolloutsOf(context);
  return [
    caretakerPart({
      coordinator: context.coordinator(),
      store: new StateStore(context.db),
      capabilities,
      log: context.log,
    }),
    rolloutPart({ ...options, capabilities, webhooks }),
    ...(context.migration.changeLog === 'direct' ? [] : [relayPart(context)]),
    syncPart({ ...context, ...(flags.fault && { wrapLog: loseChange }) }),
  ];
}

/** Of every flow of the definition; of relays too where the change log is Kafka. */
export function figuresOf({ db, migration }: Context): MetricsOptions['gather'] {
  const [evidence, relays] = [new Evidence(db), new RelayReports(db)];
  return async () => {
    const ids = Object.keys(migration.capabilities);
    const lines = (await Promise.all(ids.map((id) => evidence.flows(id)))).flat();
    const isRelayed = migration.changeLog !== 'direct';
    return flowMetrics(lines, isRelayed ? relayMetrics(await relays.lines()) : undefined);
  };
}

/** Before any capability has left the monolith, mistakes stop the start; later they stop their own flow only. */
export async function beforeFirstStart(context: Context): Promise<void> {
  await warnOfUndefined(context);
  const states = await new StateStore(context.db).read(Object.keys(context.migration.capabilities));
  if ([...states.values()].every((state) => state.phase === 'monolith'))
    await assertPreflight(context);
}
