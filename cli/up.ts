// `banyan up`: all of it from one command: facade and sync in one process, and a control database of
// its own where the definition names none.
import { mkdirSync } from 'node:fs';
import type { Command } from 'commander';
import { BanyanError } from '../core/errors.ts';
import { persistentHome, startEmbedded, type EmbeddedPostgres } from '../core/postgres/embedded.ts';
import { withClient } from '../core/postgres/connect.ts';
import {
  contextOf,
  loadConfig,
  readRunning,
  writeRunning,
  type GlobalOptions,
  type Loaded,
} from './context.ts';
import { facadeFor, withFacadeFlags } from './facade.ts';
import type { FacadeFlags } from './facade-options.ts';
import { metricsParts, withMetricsFlags, type MetricsFlags } from './metrics.ts';
import { answer } from './output.ts';
import { runParts } from './running.ts';
import { beforeFirstStart, figuresOf, syncParts } from './sync.ts';

export function upCommand(program: Command): void {
  const up = withFacadeFlags(program.command('up').description('run facade and sync together'));
  withMetricsFlags(up, 'of all flows, and relays').action(
    async (flags: FacadeFlags & MetricsFlags, command: Command) => {
      const globals = command.optsWithGlobals<GlobalOptions>();
      const loaded = await loadConfig(globals.config);
      const own = loaded.connections.control === undefined ? await ownControl(loaded) : undefined;
      try {
        const context = await contextOf(
          loaded,
          loaded.connections.control ?? own?.url('banyan') ?? '',
          globals,
          'up',
        );
        let at = { url: '', adminUrl: '' };
        let metrics: string | undefined;
        const figures = metricsParts(context, flags, figuresOf(context), (url) => {
          metrics = url;
        });
        try {
          await beforeFirstStart(context);
          const facade = await facadeFor(context, flags, (listening) => {
            at = listening;
          });
          await runParts([...figures, ...syncParts(context), facade], () => {
            answer(
              globals.json,
              { ready: true, pid: process.pid, ...at, ...(metrics !== undefined && { metrics }) },
              `facade listening on ${at.url}, admin on ${at.adminUrl}; sync is running`,
            );
          });
        } finally {
          await context.close();
        }
      } finally {
        if (own) writeRunning(loaded.directory, undefined);
        await own?.stop();
      }
    },
  );
}

/** Throws ALREADY_RUNNING where another process has one beside the same definition. */
async function ownControl(loaded: Loaded): Promise<EmbeddedPostgres> {
  const { pid } = readRunning(loaded.directory);
  if (pid !== undefined)
    throw new BanyanError(
      'ALREADY_RUNNING',
      `process ${pid} already runs from this folder, with a control database of its own`,
      {
        hint: 'The other commands find it. End it before you start another; or name a control database: then as many may run as you like.',
      },
    );
  const directory = await persistentHome(loaded.directory);
  mkdirSync(directory, { recursive: true });
  const server = await startEmbedded({ directory });
  try {
    const { rows } = await withClient(server.url(), { applicationName: 'banyan-up' }, (client) =>
      client.query(`SELECT 1 FROM pg_database WHERE datname = 'banyan'`),
    );
    if (rows.length === 0) await server.createDatabase('banyan');
    writeRunning(loaded.directory, { control: server.url('banyan') });
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}
