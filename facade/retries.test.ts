import { expect, test } from '@jest/globals';
import { Retries } from './retries.ts';

test('pauses are drawn from nothing up to a limit that doubles and ends at 250 ms', () => {
  const job = { repeatable: true, retry: { attempts: 6, budget: 1, bodyBytes: 0 } };
  const pauses = Array.from({ length: 400 }, () => {
    const retries = new Retries();
    const all: (number | undefined)[] = [];
    for (let nth = 0; nth < 7; nth++)
      all.push(retries.next(job, { sent: true, whole: true }, { withdraw: () => true }));
    return all;
  });
  [25, 50, 100, 200, 250, 250].forEach((limit, nth) => {
    const drawn = pauses.map((all) => all[nth] ?? NaN);
    expect(Math.max(...drawn)).toBeLessThan(limit);
    // Of four hundred, some are near either end.
    expect(Math.max(...drawn)).toBeGreaterThan(limit * 0.8);
    expect(Math.min(...drawn)).toBeLessThan(limit * 0.2);
  });
  expect(new Set(pauses.map((all) => all[6]))).toEqual(new Set([undefined]));
});

test.each([
  ['what was sent and may not be repeated', { sent: true, whole: true }, false, true],
  ['a body of which some is gone', { sent: false, whole: false }, true, true],
  ['where the budget is spent', { sent: true, whole: true }, true, false],
])('there is none for %s', (_, sending, repeatable, left) => {
  const job = { repeatable, retry: { attempts: 2, budget: 1, bodyBytes: 0 } };
  expect(new Retries().next(job, sending, { withdraw: () => left })).toBeUndefined();
});
