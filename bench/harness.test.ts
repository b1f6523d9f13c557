import { expect, test } from '@jest/globals';
import { figuresOf, median, ratiosOf, runCases, table, turn, type Case } from './harness.ts';

function scripted(name: string, figures: number[]): Case['ours'] & { calls: number[] } {
  const calls: number[] = [];
  return {
    name,
    calls,
    measure: (ms) => {
      calls.push(ms);
      return Promise.resolve(figures.shift() ?? 0);
    },
  };
}

function caseOf(better: Case['better'], ours: Case['ours'], ...others: Case['others']): Case {
  return { name: 'GET', unit: 'req/s', better, ours, others };
}

test('the median is the middle, or the mean of the two middles', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([7])).toBe(7);
  expect(median([])).toBeNaN();
});

test('figures are medians, ratios are medians of the rounds’ own ratios', () => {
  const one = caseOf('more', scripted('ours', []), scripted('peer', []));
  const samples = new Map([
    ['ours', [10, 20, 90]],
    ['peer', [20, 20, 30]],
  ]);
  expect(figuresOf(one, samples)).toEqual({ 'GET / ours': 20, 'GET / peer': 20 });
  expect(ratiosOf(one, samples)).toEqual({ 'GET / peer': 1 });
});

test('where less is better the ratio is turned, so that more is always better for us', () => {
  const one = caseOf('less', scripted('ours', []), scripted('peer', []));
  const samples = new Map([
    ['ours', [10]],
    ['peer', [25]],
  ]);
  expect(ratiosOf(one, samples)).toEqual({ 'GET / peer': 2.5 });
});

test('every contender is warmed up, then they take turns, in another order each round', async () => {
  const order: string[] = [];
  const named = (name: string, figure: number): Case['ours'] => ({
    name,
    measure: (ms) => {
      order.push(`${name} ${ms}`);
      return Promise.resolve(figure);
    },
  });
  const one = caseOf('more', named('a', 30), named('b', 20), named('c', 10));
  const report = await runCases([one], { rounds: 2, warmUpMs: 1, roundMs: 2 });
  expect(order).toEqual(['a 1', 'b 1', 'c 1', 'a 2', 'b 2', 'c 2', 'b 2', 'c 2', 'a 2']);
  expect(report).toEqual({
    figures: { 'GET / a': 30, 'GET / b': 20, 'GET / c': 10 },
    ratios: { 'GET / b': 1.5, 'GET / c': 3 },
  });
});

test('the warm-up is not counted', async () => {
  const ours = scripted('ours', [1_000, 10]);
  const report = await runCases([caseOf('more', ours, scripted('peer', [1, 5]))], {
    rounds: 1,
    warmUpMs: 7,
    roundMs: 9,
  });
  expect(ours.calls).toEqual([7, 9]);
  expect(report.ratios).toEqual({ 'GET / peer': 2 });
});

test('a turn rotates', () => {
  expect([0, 1, 2, 3].map((round) => turn(['a', 'b', 'c'], round).join(''))).toEqual([
    'abc',
    'bca',
    'cab',
    'abc',
  ]);
  expect(turn([], 5)).toEqual([]);
});

test('the table names case, contender, figure and ratio', () => {
  const one = caseOf('more', scripted('ours', []), scripted('peer', []));
  const text = table([one], {
    figures: { 'GET / ours': 20, 'GET / peer': 10 },
    ratios: { 'GET / peer': 2 },
  });
  expect(text.split('\n')).toEqual([
    'case  contender  figure    ratio (more is better for us)',
    'GET   ours       20 req/s',
    'GET   peer       10 req/s  ours is 2.00 of it',
  ]);
});
