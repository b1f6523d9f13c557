// How fast a source may be read.
import { expect, test } from '@jest/globals';
import { RowBudget, Strain } from './pace.ts';

test('a budget of rows lets no more through than it says, and saves nothing up', () => {
  const budget = new RowBudget(1_000);
  expect(budget.waitMs(50)).toBe(0);
  budget.spend(500, 100);
  expect(budget.waitMs(100)).toBe(500);
  budget.spend(500, 100);
  expect(budget.waitMs(600)).toBe(500);
  expect(budget.waitMs(5_000)).toBe(0);
  budget.spend(100, 5_000);
  expect(budget.waitMs(5_000)).toBe(100);
});

test('a source that needs much longer for a row than at its best is left alone for a while', () => {
  const strain = new Strain();
  expect(strain.restMs(1_000, 20)).toBe(0);
  expect(strain.restMs(1_000, 40)).toBe(0);
  const rest = strain.restMs(1_000, 200);
  expect(rest).toBeGreaterThan(1_700);
  expect(rest).toBeLessThan(1_800);
  expect(strain.restMs(1_000, 5_000)).toBe(2_000);
  expect(strain.restMs(1_000, 21)).toBe(0);
});

test('a source that is fast anyway is not thought strained, nor one whose rows have grown', () => {
  const fast = new Strain();
  expect(fast.restMs(10_000, 1)).toBe(0);
  expect(fast.restMs(10_000, 100)).toBe(0);
  const growing = new Strain();
  growing.restMs(1_000, 20);
  for (let chunk = 0; chunk < 400; chunk++) growing.restMs(1_000, 200);
  expect(growing.restMs(1_000, 200)).toBe(0);
});
