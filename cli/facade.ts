// `banyan facade`: one edge, what production runs in front of everything; in one process or several.
// The edge's modules are loaded where an edge runs: no other command carries their 20 MB.
import { availableParallelism } from 'node:os';
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { Part } from '../core/lifecycle.ts';
import { openContext, type Context, type GlobalOptions } from './context.ts';
import { engineOptions, type FacadeFlags } from './facade-options.ts';
import { portOption } from './ports.ts';
import { answer } from './output.ts';
import { runParts } from './running.ts';

interface Flags extends FacadeFlags {
  readonly workers: number;
  /** Set by a leading process for those that it forks. */
  readonly worker?: true;
}

export function facadeCommand(program: Command): void {
  withFacadeFlags(program.command('facade').description('run the edge'))
    .addOption(
      new Option('--workers <n>', 'processes that share the port (auto: one a core)')
        .default(1)
        .argParser(readWorkers),
    )
    .addOption(new Option('--worker').hideHelp())
    .action(async (flags: Flags, command: Command) => {
      const globals = command.optsWithGlobals<GlobalOptions>();
      if (!flags.worker && flags.workers === 1) {
        await runAlone(globals, flags);
        return;
      }
      const { leadWorkers, runAsWorker } = await import('./workers.ts');
      if (flags.worker) await runAsWorker(globals, flags);
      else await leadWorkers(globals, flags, flags.workers);
    });
}

async function runAlone(globals: GlobalOptions, flags: FacadeFlags): Promise<void> {
  const context = await openContext(globals, 'facade', 'edge');
  let at = { url: '', adminUrl: '' };
  const facade = await facadeFor(context, flags, (listening) => {
    at = listening;
  });
  try {
    await runParts([facade], () => {
      answer(
        globals.json,
        { ready: true, pid: process.pid, ...at },
        `facade listening on ${at.url}, admin on ${at.adminUrl}`,
      );
    });
  } finally {
    await context.close();
  }
}

function readWorkers(text: string): number {
  if (text === 'auto') return availableParallelism();
  const workers = Number(text);
  if (!Number.isInteger(workers) || workers < 1 || workers > 256)
    throw new InvalidArgumentError('Not a number of workers (1 to 256, or auto).');
  return workers;
}

export function withFacadeFlags(command: Command): Command {
  return command
    .option('--host <host>', 'address to listen on', '127.0.0.1')
    .addOption(portOption('--port <port>', 'port of the edge', 8080))
    .option('--admin-host <host>', 'address of the admin port', '127.0.0.1')
    .addOption(portOption('--admin-port <port>', 'port of health, metrics and state', 8081));
}

export async function facadeFor(
  context: Context,
  flags: FacadeFlags,
  onListening: (at: { url: string; adminUrl: string }) => void,
): Promise<Part> {
  const { facadePart } = await import('../facade/index.ts');
  return facadePart({
    ...engineOptions(context),
    data: { host: flags.host, port: flags.port },
    admin: { host: flags.adminHost, port: flags.adminPort },
    onListening,
  });
}
