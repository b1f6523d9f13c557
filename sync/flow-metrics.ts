// The flows' figures for Prometheus, as they have reported them: any process that asks the control database
// tells of all of them, of one that has died too.
import { Counter, Gauge, Registry } from 'prom-client';
import type { FlowLine, FlowStatus } from '../control/flow-reports.ts';

const STATUSES: readonly FlowStatus[] = [
  ...(['starting', 'backfill', 'copy paused', 'copy waits', 'streaming'] as const),
  ...(['retrying', 'stopped', 'paused'] as const),
];
const labelNames = ['capability', 'direction'] as const;

type Figure = readonly [
  name: string,
  help: string,
  of: (line: FlowLine) => number | null | undefined,
];

const GAUGES: readonly Figure[] = [
  [
    'banyan_flow_report_age_seconds',
    'How long ago the flow last reported.',
    ({ reportAgeMs }) => reportAgeMs / 1_000,
  ],
  [
    'banyan_flow_watermark_age_seconds',
    'How long ago the target was known to be complete.',
    ({ watermarkAgeMs }) => seconds(watermarkAgeMs),
  ],
  [
    'banyan_flow_lag_p50_seconds',
    'Commit at the source to commit at the target, over the last minute, median.',
    ({ lagP50Ms }) => seconds(lagP50Ms),
  ],
  [
    'banyan_flow_lag_p99_seconds',
    'Commit at the source to commit at the target, over the last minute, 99th percentile.',
    ({ lagP99Ms }) => seconds(lagP99Ms),
  ],
  [
    'banyan_flow_parked',
    'Changes that could not be applied, and those that wait behind them.',
    ({ parked }) => parked,
  ],
  [
    'banyan_flow_conflicts',
    'Conflicts of a write canary that have been judged.',
    ({ conflicts }) => conflicts,
  ],
  [
    'banyan_flow_wal_retained_bytes',
    'WAL that the source keeps for the flow.',
    ({ retainedBytes }) => retainedBytes,
  ],
  [
    'banyan_flow_tables_to_copy',
    'Tables whose copy is not complete.',
    ({ backfill }) => backfill && backfill.filter(({ done }) => !done).length,
  ],
];

/** Adds them to a registry. */
export function flowMetrics(lines: readonly FlowLine[], registry = new Registry()): Registry {
  const registers = [registry];
  const labels = ({ capability, direction }: FlowLine) => ({ capability, direction });
  for (const [name, help, of] of GAUGES) {
    const gauge = new Gauge({ name, help, labelNames, registers });
    for (const line of lines) {
      const value = of(line);
      if (typeof value === 'number') gauge.set(labels(line), value);
    }
  }
  const applied = new Counter({
    ...{ name: 'banyan_flow_applied_total', help: 'Changes applied since the process started.' },
    ...{ labelNames, registers },
  });
  const status = new Gauge({
    ...{ name: 'banyan_flow_status', help: '1 at what the flow last said that it is.' },
    ...{ labelNames: [...labelNames, 'status'], registers },
  });
  for (const line of lines) {
    applied.inc(labels(line), line.applied);
    for (const one of STATUSES)
      status.set({ ...labels(line), status: one }, one === line.status ? 1 : 0);
  }
  return registry;
}

function seconds(ms: number | null): number | null {
  return ms === null ? null : ms / 1_000;
}
