import { expect, test } from '@jest/globals';
import type { RelayLine } from '../../control/relay-reports.ts';
import { relayMetrics } from './relay-metrics.ts';

const line: RelayLine = {
  ...{ source: 'monolith', status: 'running', holder: 'h', errorCode: null, error: null },
  ...{ position: '1/0/10/2', behindMs: 1_500, lagP50Ms: 20, lagP99Ms: null, written: 7 },
  ...{
    bytes: 900,
    letters: 2,
    confirmed: '1/10',
    chain: null,
    behindBytes: 5,
    retainedBytes: null,
  },
  ...{ standby: true, leaves: null, reportAgeMs: 400 },
};

test('tells of each relay what it has reported, and nothing of what nobody knows', async () => {
  const silent: RelayLine = { ...line, source: 'catalog', standby: false, reportAgeMs: 60_000 };
  const text = await relayMetrics([line, silent]).metrics();
  const told = text.split('\n').filter((one) => one !== '' && !one.startsWith('#'));
  expect(told.filter((one) => one.includes('"monolith"'))).toEqual([
    'banyan_relay_active{source="monolith"} 1',
    'banyan_relay_standby{source="monolith"} 1',
    'banyan_relay_report_age_seconds{source="monolith"} 0.4',
    'banyan_relay_behind_seconds{source="monolith"} 1.5',
    'banyan_relay_lag_p50_seconds{source="monolith"} 0.02',
    'banyan_relay_confirmed_lsn{source="monolith"} 4294967312',
    'banyan_relay_wal_behind_bytes{source="monolith"} 5',
    'banyan_relay_records_total{source="monolith"} 7',
    'banyan_relay_bytes_total{source="monolith"} 900',
    'banyan_relay_dead_letters_total{source="monolith"} 2',
    'banyan_relay_status{source="monolith",status="starting"} 0',
    'banyan_relay_status{source="monolith",status="running"} 1',
    'banyan_relay_status{source="monolith",status="retrying"} 0',
    'banyan_relay_status{source="monolith",status="stopped"} 0',
  ]);
  expect(told).toContain('banyan_relay_active{source="catalog"} 0');
  expect(told).toContain('banyan_relay_standby{source="catalog"} 0');
});
