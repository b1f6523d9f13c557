// `banyan sync status`: every flow with its lag, what it has copied, parked, and keeps its source from
// forgetting; once, or again and again.
import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import { Evidence } from '../control/evidence.ts';
import type { FlowLine } from '../control/flow-reports.ts';
import { RelayReports } from '../control/relay-reports.ts';
import { openContext, type Context, type GlobalOptions } from './context.ts';
import { named } from './named.ts';
import { answer, bytes, span, table } from './output.ts';
import { describeRelays } from './relay-lines.ts';
import { interruption } from './running.ts';

const LOOK_MS = 1_000;

export function flowStatusCommand(sync: Command): void {
  sync
    .command('status [capability]')
    .description('show every flow: lag, copy, parked changes, retained WAL')
    .option('--watch', 'again every second, until Ctrl-C')
    .action(
      async (only: string | undefined, flags: { readonly watch?: true }, command: Command) => {
        const globals = command.optsWithGlobals<GlobalOptions>();
        const context = await openContext(globals);
        try {
          if (!flags.watch) {
            const lines = await look(context, only);
            answer(globals.json, lines, await text(context, lines));
            return;
          }
          const signal = interruption();
          while (!signal.aborted) {
            const lines = await look(context, only);
            // A terminal is redrawn; anything else gets one answer after another.
            if (process.stdout.isTTY && !globals.json) process.stdout.write('\x1b[H\x1b[2J');
            answer(globals.json, lines, await text(context, lines));
            await delay(LOOK_MS, undefined, { signal }).catch(() => undefined);
          }
        } finally {
          await context.close();
        }
      },
    );
}

async function look(context: Context, only: string | undefined): Promise<FlowLine[]> {
  const evidence = new Evidence(context.db);
  return (
    await Promise.all(named(context, only).map((capability) => evidence.flows(capability)))
  ).flat();
}

/** Flows, and what brings their changes to Kafka. */
async function text({ db }: Context, lines: readonly FlowLine[]): Promise<string> {
  const relays = describeRelays(await new RelayReports(db).lines());
  return [describe(lines), ...relays].join('\n');
}

function describe(lines: readonly FlowLine[]): string {
  if (lines.length === 0)
    return 'no flow has reported: is a capability past `monolith`, and `banyan sync` running?';
  const rows = lines.map((line) => [
    line.capability,
    line.direction,
    line.reportAgeMs > 10_000
      ? `${line.status}, silent for ${span(line.reportAgeMs)}`
      : line.status,
    line.watermarkAgeMs === null ? '-' : span(line.watermarkAgeMs),
    line.lagP50Ms === null ? '-' : `${span(line.lagP50Ms)} / ${span(line.lagP99Ms ?? 0)}`,
    String(line.applied),
    copied(line),
    String(line.parked ?? 0),
    typeof line.conflicts === 'number' ? String(line.conflicts) : '-',
    line.retainedBytes === null ? '-' : bytes(line.retainedBytes),
  ]);
  const errors = lines.flatMap((line) =>
    line.error === null
      ? []
      : [`${line.capability} ${line.direction}: [${line.errorCode ?? ''}] ${line.error}`],
  );
  return [
    table([
      [
        'capability',
        'flow',
        'status',
        'behind',
        'lag p50 / p99',
        'applied',
        'copied',
        'parked',
        'conflicts',
        'WAL kept',
      ],
      ...rows,
    ]),
    ...errors,
  ].join('\n');
}

/** `12 000 of 40 000 rows, 3 min left`; the total is the planner's guess. */
function copied({ backfill, status }: FlowLine): string {
  if (!backfill || backfill.length === 0) return '-';
  const rows = backfill.reduce((sum, one) => sum + one.rows, 0);
  const open = backfill.filter((one) => !one.done);
  if (open.length === 0) return `all (${rows} rows)`;
  const left = open.reduce((sum, one) => sum + Math.max(0, one.estimatedRows - one.rows), 0);
  if (status === 'copy paused') return `${rows} of about ${rows + left} rows, paused`;
  if (status === 'copy waits') return `${rows} of about ${rows + left} rows, waits`;
  const perSecond = open.reduce((sum, one) => sum + (one.perSecond ?? 0), 0);
  const eta = perSecond > 0 && left > 0 ? `, ${span((left / perSecond) * 1_000)} left` : '';
  return `${rows} of about ${rows + left} rows${eta}`;
}
