import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { RetryBudget } from './retry-budget.ts';

test('in quiet times there is a reserve of thirty retries in ten seconds, and it comes back', () => {
  const budget = new RetryBudget(0.2);
  const taken = (nowMs: number): number =>
    Array.from({ length: 100 }, () => budget.withdraw(nowMs)).filter(Boolean).length;
  expect(taken(0)).toBe(30);
  expect(taken(9_999)).toBe(0);
  expect(taken(10_000)).toBe(30);
  expect(taken(60_000)).toBe(30);
});

test('within any ten seconds the retries are no more than their share and the reserve', () => {
  const event = fc.record({
    afterMs: fc.integer({ min: 0, max: 3_000 }),
    requests: fc.integer({ min: 0, max: 50 }),
    retries: fc.integer({ min: 0, max: 50 }),
  });
  fc.assert(
    fc.property(
      fc.array(event, { maxLength: 60 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (events, ratio) => {
        const budget = new RetryBudget(ratio);
        let now = 0;
        const asked: number[] = [];
        const granted: number[] = [];
        for (const { afterMs, requests, retries } of events) {
          now += afterMs;
          for (let nth = 0; nth < requests; nth++) {
            budget.deposit(now);
            asked.push(now);
          }
          for (let nth = 0; nth < retries; nth++) if (budget.withdraw(now)) granted.push(now);
        }
        const second = (at: number): number => Math.floor(at / 1_000);
        for (const end of granted) {
          const inWindow = (at: number): boolean => second(at) > second(end) - 10 && at <= end;
          const most = asked.filter(inWindow).length * ratio + 30;
          expect(granted.filter(inWindow).length).toBeLessThanOrEqual(most);
        }
      },
    ),
  );
});
