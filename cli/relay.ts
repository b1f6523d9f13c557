// `banyan relay`: brings the changes of the source databases to Kafka, in a process of its own. A second
// one, anywhere, stands by; so do those that `banyan sync` and `banyan up` bring along.
import type { Command } from 'commander';
import { BanyanError } from '../core/errors.ts';
import { RelayReports } from '../control/relay-reports.ts';
import { relayMetrics, relayPart } from '../sync/index.ts';
import { openContext, type GlobalOptions } from './context.ts';
import { answer } from './output.ts';
import { describeRelays } from './relay-lines.ts';
import { keepSmall } from './heap.ts';
import { metricsParts, withMetricsFlags, type MetricsFlags } from './metrics.ts';
import { runParts } from './running.ts';
import { beforeFirstStart } from './sync.ts';

export function relayCommand(program: Command): void {
  const relay = program
    .command('relay')
    .description('bring the changes of the databases to Kafka; a second one stands by');
  withMetricsFlags(relay, 'of all relays').action(async (flags: MetricsFlags, command: Command) => {
    const globals = command.optsWithGlobals<GlobalOptions>();
    const context = await openContext(globals, 'relay');
    try {
      if (context.migration.changeLog === 'direct')
        throw new BanyanError('CONFIG_INVALID', 'the definition reads the slots directly', {
          hint: 'Relays are for `changeLog: { kafka: { … } }`; without Kafka `banyan sync` is all there is to run.',
        });
      await beforeFirstStart(context);
      const reports = new RelayReports(context.db);
      const gather = async () => relayMetrics(await reports.lines());
      let metrics: string | undefined;
      await runParts(
        [
          ...metricsParts(context, flags, gather, (url) => {
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
    .command('give-up <source>')
    .description(
      'give up the events that a relay has yet to send after the last flow of its source: its slot goes',
    )
    .option('--why <text>', 'for the journal')
    .action(async (source: string, { why }: { readonly why?: string }, command: Command) => {
      const globals = command.optsWithGlobals<GlobalOptions>();
      const context = await openContext(globals);
      try {
        await context.coordinator().giveUpEvents(source, why);
        answer(
          globals.json,
          { source, givenUp: true },
          `relay ${source}: its slot is gone; what had not been sent is in the outbox table alone, as far as the application leaves it there`,
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
