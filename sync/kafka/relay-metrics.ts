// The relays' figures for Prometheus, as they have reported them: any process that asks the control
// database tells of all of them, of one that has died too.
import { Counter, Gauge, Registry } from 'prom-client';
import { parseLsn } from '../../core/postgres/lsn.ts';
import type { RelayLine, RelayStatus } from '../../control/relay-reports.ts';

/** One that has said nothing for so long works no more, whatever it said last. */
const SILENT_MS = 10_000;
const STATUSES: readonly RelayStatus[] = ['starting', 'running', 'retrying', 'stopped'];
const labelNames = ['source'] as const;

type Figure = readonly [name: string, help: string, of: (line: RelayLine) => number | null];

const GAUGES: readonly Figure[] = [
  [
    'banyan_relay_active',
    '1 while a relay works the slot of the source.',
    ({ status, reportAgeMs }) => (status === 'running' && reportAgeMs < SILENT_MS ? 1 : 0),
  ],
  ['banyan_relay_standby', '1 while another relay stands by.', ({ standby }) => (standby ? 1 : 0)],
  [
    'banyan_relay_report_age_seconds',
    'How long ago the relay last reported.',
    ({ reportAgeMs }) => reportAgeMs / 1_000,
  ],
  [
    'banyan_relay_behind_seconds',
    'How long ago all that had been committed was with the brokers.',
    ({ behindMs }) => seconds(behindMs),
  ],
  [
    'banyan_relay_lag_p50_seconds',
    'Commit at the source to acknowledgement by the brokers, median.',
    ({ lagP50Ms }) => seconds(lagP50Ms),
  ],
  [
    'banyan_relay_lag_p99_seconds',
    'Commit at the source to acknowledgement by the brokers, 99th percentile.',
    ({ lagP99Ms }) => seconds(lagP99Ms),
  ],
  [
    'banyan_relay_confirmed_lsn',
    'What the source has been told that the brokers have, as a number of bytes of WAL.',
    ({ confirmed }) => (confirmed === null ? null : Number(parseLsn(confirmed))),
  ],
  [
    'banyan_relay_wal_behind_bytes',
    'WAL that is not with the brokers yet.',
    ({ behindBytes }) => behindBytes,
  ],
  [
    'banyan_relay_wal_retained_bytes',
    'WAL that the source keeps for the slot.',
    ({ retainedBytes }) => retainedBytes,
  ],
];

/** Of the process that works the slot, since it started. */
const COUNTERS: readonly Figure[] = [
  ['banyan_relay_records_total', 'Records that the brokers have taken.', ({ written }) => written],
  ['banyan_relay_bytes_total', 'About how many bytes they had.', ({ bytes }) => bytes],
  [
    'banyan_relay_dead_letters_total',
    'Rows of outboxes that went to the topic of dead letters.',
    ({ letters }) => letters,
  ],
];

export function relayMetrics(lines: readonly RelayLine[]): Registry {
  const registry = new Registry();
  const registers = [registry];
  for (const [name, help, of] of GAUGES) {
    const gauge = new Gauge({ name, help, labelNames, registers });
    for (const line of lines) {
      const value = of(line);
      if (value !== null) gauge.set({ source: line.source }, value);
    }
  }
  for (const [name, help, of] of COUNTERS) {
    const counter = new Counter({ name, help, labelNames, registers });
    for (const line of lines) counter.inc({ source: line.source }, of(line) ?? 0);
  }
  const status = new Gauge({
    ...{ name: 'banyan_relay_status', help: '1 at what the relay last said that it is.' },
    ...{ labelNames: ['source', 'status'], registers },
  });
  for (const { source, status: own } of lines)
    for (const one of STATUSES) status.set({ source, status: one }, one === own ? 1 : 0);
  return registry;
}

function seconds(ms: number | null): number | null {
  return ms === null ? null : ms / 1_000;
}
