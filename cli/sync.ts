// `banyan sync`: the process that runs all flows, and looks after switches whose coordinator died.
import { Option, type Command } from 'commander';
import type { Part } from '../core/lifecycle.ts';
import { caretakerPart } from '../control/caretaker.ts';
import { rolloutPart } from '../control/rollout-part.ts';
import { StateStore } from '../control/store.ts';
import { relayPart, syncPart } from '../sync/index.ts';
import { openContext, type Context, type GlobalOptions } from './context.ts';
import { loseChange } from './faults.ts';
import { keepSmall } from './heap.ts';
import { answer } from './output.ts';
import { assertPreflight } from './preflight.ts';
import { rolloutsOf } from './rollouts.ts';
import { runParts } from './running.ts';
import { conflictsCommand } from './sync-conflicts.ts';
import { letterCommands } from './sync-letters.ts';
import { pauseCommands } from './sync-pause.ts';
import { recopyCommand } from './sync-recopy.ts';
import { flowStatusCommand } from './sync-status.ts';

interface SyncFlags {
  readonly fault?: 'lose-change';
}

export function syncCommand(program: Command): void {
  const sync = program
    .command('sync')
    .description('run the flows between the databases; its subcommands look after them')
    .addOption(
      new Option('--fault <name>', 'inject a fault, to see it found')
        .choices(['lose-change'])
        .hideHelp(),
    )
    .action(async (flags: SyncFlags, command: Command) => {
      const globals = command.optsWithGlobals<GlobalOptions>();
      const context = await openContext(globals, 'sync');
      try {
        await beforeFirstStart(context);
        await runParts(
          syncParts(context, flags),
          () => {
            answer(globals.json, { ready: true, pid: process.pid }, 'sync is running');
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

/** Before any capability has left the monolith, mistakes stop the start; later they stop their own flow only. */
export async function beforeFirstStart(context: Context): Promise<void> {
  const states = await new StateStore(context.db).read(Object.keys(context.migration.capabilities));
  if ([...states.values()].every((state) => state.phase === 'monolith'))
    await assertPreflight(context);
}
