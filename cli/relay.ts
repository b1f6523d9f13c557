// `banyan relay`: brings the changes of the source databases to Kafka, in a process of its own. A second
// one, anywhere, stands by; so do those that `banyan sync` and `banyan up` bring along.
import { Option, type Command } from 'commander';
import { BanyanError } from '../core/errors.ts';
import type { Part } from '../core/lifecycle.ts';
import { metricsPart } from '../core/metrics.ts';
import { RelayReports } from '../control/relay-reports.ts';
import { relayMetrics, relayPart } from '../sync/index.ts';
import { openContext, type Context, type GlobalOptions } from './context.ts';
import { answer } from './output.ts';
import { describeRelays } from './relay-lines.ts';
import { keepSmall } from './heap.ts';
import { readPort } from './ports.ts';
import { runParts } from './running.ts';
import { beforeFirstStart } from './sync.ts';

interface RelayFlags {
  readonly metricsHost: string;
  readonly metricsPort?: number;
}

export function relayCommand(program: Command): void {
  const relay = program
    .command('relay')
    .description('bring the changes of the databases to Kafka; a second one stands by')
    .option('--metrics-host <host>', 'address of the figures', '127.0.0.1')
    .addOption(
      new Option(
        '--metrics-port <port>',
        'port of /metrics, the figures of all relays; none where left out (0: a free one)',
      ).argParser(readPort),
    )
    .action(async (flags: RelayFlags, command: Command) => {
      const globals = command.optsWithGlobals<GlobalOptions>();
      const context = await openContext(globals, 'relay');
      try {
        if (context.migration.changeLog === 'direct')
          throw new BanyanError('CONFIG_INVALID', 'the definition reads the slots directly', {
            hint: 'Relays are for `changeLog: { kafka: { … } }`; without Kafka `banyan sync` is all there is to run.',
          });
        await beforeFirstStart(context);
        let metrics: string | undefined;
        await runParts(
          [
            ...metricsOf(context, flags, (url) => {
              metrics = url;
            }),
            relayPart(context),
          ],
          () => {
            answer(
              globals.json,
              { ready: true, pid: process.pid, ...(metrics !== undefined && { metrics }) },
              `the relay is running${metrics === undefined ? '' : `, its figures on ${metrics}`}`,
            );
          },
          keepSmall,
        );
      } finally {
        await context.close();
      }
    });
  relay
    .command('status')
    .description('show every relay: how far Kafka is behind its source, and the WAL that it keeps')
    .action(async (_flags: unknown, command: Command) => {
      const globals = command.optsWithGlobals<GlobalOptions>();
      const context = await openContext(globals);
      try {
        const lines = await new RelayReports(context.db).lines();
        const described = describeRelays(lines);
        answer(
          globals.json,
          lines,
          described.length === 0
            ? 'no relay has reported: is a capability past `monolith`, and `banyan relay` or `banyan sync` running?'
            : described.join('\n'),
        );
      } finally {
        await context.close();
      }
    });
}

function metricsOf(
  { db, log }: Context,
  { metricsHost: host, metricsPort: port }: RelayFlags,
  onListening: (url: string) => void,
): Part[] {
  if (port === undefined) return [];
  const gather = async () => relayMetrics(await new RelayReports(db).lines());
  return [metricsPart({ host, port, gather, onListening, log })];
}
