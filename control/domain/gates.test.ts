import { expect, test } from '@jest/globals';
import { evaluateGates, type GateFacts } from './gates.ts';
import { gateError } from './move.ts';
import { pathAnswers, type PathAnswers } from './answers.ts';
import { bucketOf, LATENCY_BUCKETS } from './latencies.ts';
import type { FlowLine } from '../flow-reports.ts';

const flow = (direction: 'to' | 'back', more: Partial<FlowLine> = {}): FlowLine => ({
  capability: 'catalog',
  direction,
  status: 'streaming',
  errorCode: null,
  error: null,
  position: null,
  watermark: '2026-01-01T00:00:00Z',
  lagP50Ms: 1,
  lagP99Ms: 2,
  applied: 0,
  backfill: [{ table: 'a', rows: 1, estimatedRows: 1, done: true }],
  parked: 0,
  retainedBytes: 0,
  reportAgeMs: 100,
  watermarkAgeMs: 300,
  ...more,
});

/** So many answers, the slowest twentieth above 100 ms where they are slow. */
function answered(count: number, failed: number, slow = 0): PathAnswers {
  const latencies = new Array<number>(LATENCY_BUCKETS).fill(0);
  latencies[bucketOf(20)] = count - slow;
  latencies[bucketOf(400)] = slow;
  return pathAnswers([{ route: 'GET /a', kind: 'read', answered: count, failed, latencies }]);
}

const GOOD: GateFacts = {
  limits: {
    ...{ shadowSamples: 10, mismatchRate: 0.01, confidence: 0.95 },
    ...{ canarySamples: 100, p95Factor: 1.5, p95FloorMs: 50, conflicts: 0 },
    ...{ lagMs: 5_000, verifyAgeMs: 60_000 },
  },
  hasTables: true,
  flows: [flow('to'), flow('back')],
  shadow: {
    samples: [
      {
        capability: 'catalog',
        route: '/a',
        compared: 100,
        mismatched: 1,
        dropped: 0,
        undecided: 0,
        noise: 0,
      },
    ],
    mismatches: [],
  },
  answers: { monolith: answered(10_000, 100), service: answered(1_000, 10) },
  verify: {
    capability: 'catalog',
    rows: 10,
    missing: 0,
    extra: 0,
    different: 0,
    unsettled: 0,
    samples: [],
    ageMs: 1_000,
  },
  missingRights: [],
  wayForward: { missing: [], probe: { position: '0/1', ms: 1 } },
  stillNeeded: [],
};

const verdicts = (
  from: Parameters<typeof evaluateGates>[0],
  to: Parameters<typeof evaluateGates>[1],
  facts: Partial<GateFacts>,
): string[] =>
  evaluateGates(from, to, { ...GOOD, ...facts })
    .filter((gate) => gate.verdict !== 'pass')
    .map((gate) => `${gate.gate}: ${gate.verdict}`);

test('with good evidence each move passes', () => {
  for (const [from, to] of [
    ['sync', 'shadow'],
    ['shadow', 'canary'],
    ['canary', 'cutover'],
    ['cutover', 'canary'],
    ['cutover', 'retired'],
  ] as const)
    expect(verdicts(from, to, {})).toEqual([]);
});

test('too little evidence is inconclusive, and that is no pass', () => {
  expect(verdicts('canary', 'cutover', { flows: [], verify: undefined })).toEqual([
    'sync to: inconclusive',
    'sync back: inconclusive',
    'verify: inconclusive',
  ]);
  expect(verdicts('shadow', 'canary', { shadow: { samples: [], mismatches: [] } })).toEqual([
    'shadow samples: inconclusive',
    'shadow mismatches: inconclusive',
  ]);
  expect(verdicts('sync', 'shadow', { flows: [flow('to', { backfill: null })] })).toEqual([
    'backfill: inconclusive',
  ]);
});

test('a flow that lags, is silent, has failed or has no watermark yet stops a move', () => {
  const stops = (more: Partial<FlowLine>): string[] =>
    verdicts('canary', 'cutover', { flows: [flow('to', more), flow('back')] });
  expect(stops({ watermarkAgeMs: 5_101 })).toEqual(['sync to lag: fail']);
  expect(stops({ reportAgeMs: 3_001 })).toEqual(['sync to: inconclusive']);
  expect(stops({ error: 'a value cannot be mapped' })).toEqual(['sync to: fail']);
  expect(stops({ watermarkAgeMs: null })).toEqual(['sync to lag: inconclusive']);
});

test('a sync that is started anew is silent, and does not lag by its silence', () => {
  for (let silentMs = 0; silentMs < 60_000; silentMs += 250) {
    const line = flow('to', { reportAgeMs: silentMs, watermarkAgeMs: silentMs + 300 });
    const found = verdicts('canary', 'cutover', { flows: [line, flow('back')] });
    expect(found).toEqual(silentMs > 3_000 ? ['sync to: inconclusive'] : []);
  }
});

test('one wrong row, an old run or an unsettled row stops a cutover', () => {
  const verify = GOOD.verify;
  if (!verify) throw new Error('no verify');
  const stops = (more: Partial<typeof verify>): string[] =>
    verdicts('canary', 'cutover', { verify: { ...verify, ...more } });
  expect(stops({ missing: 1 })).toEqual(['verify: fail']);
  expect(stops({ extra: 1, unsettled: 3 })).toEqual(['verify: fail']);
  expect(stops({ unsettled: 1 })).toEqual(['verify: inconclusive']);
  expect(stops({ ageMs: 60_001 })).toEqual(['verify age: inconclusive']);
});

test('a mismatch names route and field', () => {
  const gates = evaluateGates('shadow', 'canary', {
    ...GOOD,
    shadow: {
      samples: [
        {
          capability: 'catalog',
          route: '/a',
          compared: 100,
          mismatched: 2,
          dropped: 0,
          undecided: 0,
          noise: 0,
        },
      ],
      mismatches: [
        {
          capability: 'catalog',
          route: '/a',
          path: 'items.*.price',
          count: 2,
          example: { url: '/a', control: 1, candidate: 2 },
        },
      ],
    },
  });
  expect(gates.find((gate) => gate.verdict === 'fail')).toMatchObject({
    figure: '2 of 100, so at most 6.16 % at 95 % confidence',
    note: '/a at items.*.price (2×)',
  });
});

test('retiring is refused while the monolith needs the tables', () => {
  expect(verdicts('cutover', 'retired', { stillNeeded: ['prd.stk stays'] })).toEqual([
    'tables free: fail',
  ]);
});

test('without tables only traffic counts', () => {
  expect(verdicts('canary', 'cutover', { hasTables: false, flows: [], verify: undefined })).toEqual(
    [],
  );
});

test('what a human has paused is told, and how it goes on', () => {
  const paused = evaluateGates('sync', 'shadow', {
    ...GOOD,
    flows: [
      flow('to', { status: 'paused', reportAgeMs: 60_000, watermarkAgeMs: null, backfill: null }),
    ],
  });
  expect(paused[0]).toMatchObject({ verdict: 'inconclusive', figure: 'paused' });
  expect(paused[0]?.remedy).toContain('banyan sync resume catalog`');
  const copy = evaluateGates('sync', 'shadow', {
    ...GOOD,
    flows: [
      flow('to', {
        ...{ status: 'copy paused', watermarkAgeMs: null },
        backfill: [{ table: 'a', rows: 1, estimatedRows: 9, done: false }],
      }),
    ],
  });
  const backfill = copy.find(({ gate }) => gate === 'backfill');
  expect(backfill).toMatchObject({ verdict: 'inconclusive', note: 'the copy is paused' });
  expect(backfill?.remedy).toContain('banyan sync resume catalog --copy`');
});

test('a service that fails more than the monolith, or is slower, stops a cutover', () => {
  const stops = (service: PathAnswers): string[] =>
    verdicts('canary', 'cutover', { answers: { ...GOOD.answers, service } });
  expect(stops(answered(1_000, 12))).toEqual([]);
  expect(stops(answered(1_000, 50))).toEqual(['canary errors: fail']);
  expect(stops(answered(1_000, 10, 200))).toEqual(['canary p95: fail']);
  expect(stops(answered(1_000, 10, 40))).toEqual([]);
  expect(stops(answered(99, 0))).toEqual([
    'canary answers: inconclusive',
    'canary errors: inconclusive',
    'canary p95: inconclusive',
  ]);
  const [gate] = evaluateGates('canary', 'cutover', {
    ...GOOD,
    answers: { ...GOOD.answers, service: answered(1_000, 50) },
  }).filter(({ verdict }) => verdict === 'fail');
  expect(gate).toMatchObject({ figure: '5.00 % of 1000, control 1.00 % of 10000' });
  expect(gate?.note).toContain('GET /a');
});

test('a figure above its limit that passes says that chance explains it', () => {
  const p95 = (slow: number): unknown => {
    const service = answered(1_000, 10, slow);
    return evaluateGates('canary', 'cutover', {
      ...GOOD,
      answers: { ...GOOD.answers, service },
    }).find(({ gate }) => gate === 'canary p95');
  };
  const above = { figure: expect.stringContaining('ms, control 23 ms') as unknown };
  expect(p95(55)).toMatchObject({
    ...{ verdict: 'pass', ...above },
    note: 'above the limit, but no more than chance explains so far',
  });
  expect(p95(40)).not.toHaveProperty('note');
  expect(p95(200)).toMatchObject({ verdict: 'fail', ...above });
  expect(p95(200)).not.toHaveProperty('note');
});

test('without a control, beside or earlier, nothing passes; with an earlier one it is judged by that', () => {
  const judged = (service: PathAnswers, earlier?: PathAnswers, beside = 0): string[] =>
    verdicts('canary', 'cutover', { answers: { monolith: answered(beside, 0), service, earlier } });
  const open = ['canary errors: inconclusive', 'canary p95: inconclusive'];
  expect(judged(answered(1_000, 500))).toEqual(open);
  expect(judged(answered(1_000, 0), answered(50, 0), 49)).toEqual(open);
  expect(judged(answered(1_000, 0), answered(50, 0), 50)).toEqual([]);
  expect(judged(answered(1_000, 10), answered(10_000, 100))).toEqual([]);
  expect(judged(answered(1_000, 500), answered(10_000, 100))).toEqual(['canary errors: fail']);
  expect(judged(answered(1_000, 10, 500), answered(10_000, 100))).toEqual(['canary p95: fail']);
  // Who asks for no samples asks for none of the control either.
  const limits = { ...GOOD.limits, canarySamples: 0 };
  const none = { monolith: answered(0, 0), service: answered(0, 0) };
  expect(verdicts('canary', 'cutover', { limits, answers: none })).toEqual([]);
});

test('what failed on both paths in a step of a canary is no reason, however the steps weigh', () => {
  // An incident of both while the canary had little; later all is well, and the canary has much.
  const bad = { monolith: answered(20_000, 2_000), service: answered(1_000, 100) };
  const good = { monolith: answered(1_000, 1), service: answered(20_000, 20) };
  const sums = { monolith: answered(21_000, 2_001), service: answered(21_000, 120) };
  expect(verdicts('canary', 'cutover', { answers: { ...sums, steps: [bad, good] } })).toEqual([]);
  const back = { monolith: answered(21_000, 120), service: answered(21_000, 2_001) };
  const swapped = [
    { monolith: answered(1_000, 100), service: answered(20_000, 2_000) },
    { monolith: answered(20_000, 20), service: answered(1_000, 1) },
  ];
  expect(verdicts('canary', 'cutover', { answers: { ...back, steps: swapped } })).toEqual([]);
  // Pooled, the latter looks like a service that fails sixteen times as much.
  expect(verdicts('canary', 'cutover', { answers: back })).toEqual(['canary errors: fail']);
  const worse = {
    ...{ monolith: answered(6_000, 6), service: answered(25_000, 120) },
    steps: [good, { monolith: answered(5_000, 5), service: answered(5_000, 100) }],
  };
  expect(verdicts('canary', 'cutover', { answers: worse })).toEqual(['canary errors: fail']);
});

test('conflicts that were judged stop a cutover past their limit, and are no matter where there is none', () => {
  const judged = (conflicts: number): string[] =>
    verdicts('canary', 'cutover', { flows: [flow('to'), flow('back', { conflicts })] });
  expect(judged(0)).toEqual([]);
  expect(judged(1)).toEqual(['conflicts: fail']);
});

test('conflicts past their limit name what mends that, and no others do', () => {
  const gate = (conflicts: number) =>
    evaluateGates('canary', 'cutover', {
      ...GOOD,
      limits: { ...GOOD.limits, conflicts: 2 },
      flows: [flow('to'), flow('back', { conflicts })],
    }).find((one) => one.gate === 'conflicts');
  expect(gate(2)).toMatchObject({ verdict: 'pass', note: expect.stringContaining('conflicts') });
  expect(gate(2)).not.toHaveProperty('remedy');
  const over = gate(3);
  expect(over).toMatchObject({
    verdict: 'fail',
    remedy: expect.stringContaining('gates.conflicts'),
  });
  expect(over?.remedy).toContain('`banyan rollback catalog`');
  const gates = over ? [over] : [];
  const { hint } = gateError({ capability: 'catalog', event: 'advance' }, 'cutover', gates, gates);
  expect(hint).toMatch(/^`banyan rollback catalog`.*; then advance again\.$/);
});

test('differences that nobody could decide are no pass, however many answers were the same', () => {
  const gate = (undecided: number) =>
    evaluateGates('shadow', 'canary', {
      ...GOOD,
      limits: { ...GOOD.limits, shadowSamples: 100, mismatchRate: 0 },
      shadow: {
        samples: [
          {
            ...{ capability: 'catalog', route: '/a', compared: 1_000, mismatched: 0 },
            ...{ dropped: 5_000, undecided, noise: 0 },
          },
        ],
        mismatches: [],
      },
    }).find((one) => one.gate === 'shadow undecided');
  expect(gate(0)).toMatchObject({ verdict: 'pass', limit: 'at most 2.95 % with the mismatches' });
  expect(gate(30)).toMatchObject({ verdict: 'pass' });
  expect(gate(31)).toMatchObject({ verdict: 'inconclusive', figure: '31 differences' });
});

test('what no comparison has shown yet is told as a bound, and a bound that is too wide is no pass', () => {
  const gate = (compared: number, mismatched: number) =>
    evaluateGates('shadow', 'canary', {
      ...GOOD,
      limits: { ...GOOD.limits, shadowSamples: 100, mismatchRate: 0.02 },
      shadow: {
        samples: [
          {
            capability: 'catalog',
            route: '/a',
            compared,
            mismatched,
            dropped: 0,
            undecided: 0,
            noise: 0,
          },
        ],
        mismatches: [],
      },
    }).find((one) => one.gate === 'shadow mismatches');
  expect(gate(100, 0)).toMatchObject({ verdict: 'pass' });
  expect(gate(100, 0)?.figure).toBe('0 of 100, so at most 2.95 % at 95 % confidence');
  expect(gate(100, 2)).toMatchObject({ verdict: 'inconclusive' });
  expect(gate(1_000, 20)).toMatchObject({ verdict: 'pass' });
  expect(gate(100, 3)).toMatchObject({ verdict: 'fail' });
});
