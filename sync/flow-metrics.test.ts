import { expect, test } from '@jest/globals';
import type { FlowLine } from '../control/flow-reports.ts';
import { flowMetrics } from './flow-metrics.ts';

const line: FlowLine = {
  ...{ capability: 'catalog', direction: 'to', status: 'streaming', errorCode: null, error: null },
  ...{ position: '1/0/10/2', watermark: null, watermarkAgeMs: 1_500, lagP50Ms: 20, lagP99Ms: null },
  ...{ applied: 7, parked: 2, conflicts: null, retainedBytes: 900, reportAgeMs: 400 },
  backfill: [
    { table: 'a', rows: 1, estimatedRows: 1, done: true },
    { table: 'b', rows: 1, estimatedRows: 9, done: false },
  ],
};

test('tells of each flow what it has reported, and nothing of what nobody knows', async () => {
  const back: FlowLine = {
    ...{ ...line, direction: 'back', status: 'paused' },
    ...{ backfill: null, conflicts: 3, watermarkAgeMs: null },
  };
  const text = await flowMetrics([line, back]).metrics();
  const told = text.split('\n').filter((one) => one !== '' && !one.startsWith('#'));
  const to = 'capability="catalog",direction="to"';
  expect(told.filter((one) => one.includes('"to"') && !one.includes('status='))).toEqual([
    `banyan_flow_report_age_seconds{${to}} 0.4`,
    `banyan_flow_watermark_age_seconds{${to}} 1.5`,
    `banyan_flow_lag_p50_seconds{${to}} 0.02`,
    `banyan_flow_parked{${to}} 2`,
    `banyan_flow_wal_retained_bytes{${to}} 900`,
    `banyan_flow_tables_to_copy{${to}} 1`,
    `banyan_flow_applied_total{${to}} 7`,
  ]);
  expect(told).toContain(`banyan_flow_status{${to},status="streaming"} 1`);
  expect(told).toContain(`banyan_flow_status{${to},status="paused"} 0`);
  expect(told).toContain('banyan_flow_conflicts{capability="catalog",direction="back"} 3');
  expect(told).toContain(
    'banyan_flow_status{capability="catalog",direction="back",status="paused"} 1',
  );
  expect(told.filter((one) => one.includes('"back"')).join()).not.toMatch(/watermark|to_copy/);
});
