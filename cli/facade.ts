// `banyan facade`: one edge process, what production runs in front of everything.
import type { Command } from 'commander';
import { facadePart } from '../facade/index.ts';
import type { Part } from '../core/lifecycle.ts';
import { openContext, type Context, type GlobalOptions } from './context.ts';
import { portOption } from './ports.ts';
import { answer } from './output.ts';
import { runParts } from './running.ts';

export interface FacadeFlags {
  readonly host: string;
  readonly port: number;
  readonly adminHost: string;
  readonly adminPort: number;
}

export function facadeCommand(program: Command): void {
  withFacadeFlags(program.command('facade').description('run the edge')).action(
    async (flags: FacadeFlags, command: Command) => {
      const globals = command.optsWithGlobals<GlobalOptions>();
      const context = await openContext(globals, 'facade', 'edge');
      let at = { url: '', adminUrl: '' };
      try {
        await runParts(
          [
            facadeFor(context, flags, (listening) => {
              at = listening;
            }),
          ],
          () => {
            answer(
              globals.json,
              { ready: true, pid: process.pid, ...at },
              `facade listening on ${at.url}, admin on ${at.adminUrl}`,
            );
          },
        );
      } finally {
        await context.close();
      }
    },
  );
}

export function withFacadeFlags(command: Command): Command {
  return command
    .option('--host <host>', 'address to listen on', '127.0.0.1')
    .addOption(portOption('--port <port>', 'port of the edge', 8080))
    .option('--admin-host <host>', 'address of the admin port', '127.0.0.1')
    .addOption(portOption('--admin-port <port>', 'port of health, metrics and state', 8081));
}

export function facadeFor(
  context: Context,
  flags: FacadeFlags,
  onListening: (at: { url: string; adminUrl: string }) => void,
): Part {
  const { migration, connections, controlUrl, log } = context;
  return facadePart({
    migration,
    upstreams: {
      monolith: connections.monolith.upstream,
      services: Object.fromEntries(
        Object.entries(connections.services).map(([name, side]) => [name, side.upstream]),
      ),
    },
    controlUrl,
    log,
    data: { host: flags.host, port: flags.port },
    admin: { host: flags.adminHost, port: flags.adminPort },
    onListening,
  });
}
