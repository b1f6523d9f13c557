// `banyan facade --workers`: the leading process and the workers it forks (node:cluster). Workers are
// told by their leader when to end; Node ends them with it, also after a kill -9.
import cluster from 'node:cluster';
import { Replicas } from '../control/replicas.ts';
import { CATALOGUE, isBanyanError } from '../core/errors.ts';
import { createLogger } from '../core/log.ts';
import { primaryPart, runWorker, type Channel } from '../facade/index.ts';
import { locate, openContext, type GlobalOptions } from './context.ts';
import { engineOptions, type FacadeFlags } from './facade-options.ts';
import { readyForBursts } from './heap.ts';
import { flagsForShare } from './one-core.ts';
import { answer } from './output.ts';
import { interruption, runParts } from './running.ts';

/** Leads `size` workers until interrupted. */
export async function leadWorkers(
  globals: GlobalOptions,
  flags: FacadeFlags,
  size: number,
): Promise<void> {
  // Mistakes of the definition and a missing database are found here, once.
  const context = await openContext(globals, 'facade', 'edge');
  let at = { url: '', adminUrl: '' };
  const { delayMs, timeoutMs } = context.migration.facade.drain;
  const lead = primaryPart({
    size,
    data: { host: flags.host, port: flags.port },
    fork: ({ host, port }) => {
      cluster.setupPrimary({
        execArgv: [...process.execArgv, ...flagsForShare(size)],
        args: [
          ...['--config', globals.config, '--log-level', globals.logLevel],
          ...['facade', '--worker', '--host', host, '--port', String(port)],
        ],
      });
      return cluster.fork();
    },
    log: context.log,
    drainMs: delayMs + timeoutMs,
    admin: { host: flags.adminHost, port: flags.adminPort },
    leave: (replica) => new Replicas(context.db).leave(replica),
    onListening: (listening) => {
      at = listening;
    },
  });
  try {
    await runParts([lead], () => {
      answer(
        globals.json,
        { ready: true, pid: process.pid, ...at, workers: size },
        `facade listening on ${at.url} with ${size} workers, admin on ${at.adminUrl}`,
      );
    });
  } finally {
    await context.close();
  }
}

/** A worker's own process; what goes wrong in it is told by its leader. */
export async function runAsWorker(globals: GlobalOptions, flags: FacadeFlags): Promise<void> {
  readyForBursts();
  const stop = new AbortController();
  // Ctrl-C reaches the whole process group, and the leader says when to end.
  process.on('SIGINT', () => undefined);
  interruption(stop, ['SIGTERM']);
  const channel: Channel = {
    send: (message) =>
      new Promise((resolve) => {
        if (process.send)
          process.send(message, undefined, undefined, () => {
            resolve();
          });
        else resolve();
      }),
    onMessage: (listener) => {
      process.on('message', listener);
    },
  };
  try {
    const located = await locate(globals.config, 'edge');
    const worker = String(cluster.worker?.id ?? 0);
    await runWorker(
      {
        ...engineOptions({
          ...located,
          log: createLogger({ part: 'facade', worker }, globals.logLevel),
        }),
        data: { host: flags.host, port: flags.port },
      },
      channel,
      stop,
    );
  } catch (error) {
    process.exitCode = isBanyanError(error) ? CATALOGUE[error.code].exit : CATALOGUE.INTERNAL.exit;
  }
  cluster.worker?.disconnect();
}
