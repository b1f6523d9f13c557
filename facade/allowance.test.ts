import { expect, test } from '@jest/globals';
import { sleep } from '../core/lifecycle.ts';
import { Allowance, freeMs } from './allowance.ts';
import { Turns } from './turns.ts';

test('an allowance refills with time, up to its limit, and a debt is paid first', () => {
  let now = 0;
  const allowance = new Allowance({ perSecond: 100, most: 25, now: () => now });
  expect(allowance.has()).toBe(true);
  allowance.spend(125);
  expect(allowance.has()).toBe(false);
  now = 1_000;
  expect(allowance.has()).toBe(false);
  now = 1_001;
  expect(allowance.has()).toBe(true);
  now = 60_000;
  expect(allowance.has()).toBe(true);
  allowance.spend(25);
  expect(allowance.has()).toBe(false);
});

test('work pays in advance what work has cost of late, and gets it back', () => {
  const allowance = new Allowance({ perSecond: 0, most: 100, usual: 60, now: () => 0 });
  const first = allowance.begin();
  expect(allowance.has()).toBe(true);
  const second = allowance.begin();
  // Two that begin at once are what there is room for, before either has spent anything.
  expect(allowance.has()).toBe(false);
  allowance.spend(10);
  first();
  second();
  expect(allowance.has()).toBe(true);
  allowance.spend(89);
  expect(allowance.has()).toBe(true);
  allowance.spend(1);
  expect(allowance.has()).toBe(false);
});

test('what is usual follows what is spent', () => {
  const allowance = new Allowance({ perSecond: 0, most: 1_000, usual: 900, now: () => 0 });
  for (let nth = 0; nth < 60; nth++) {
    const end = allowance.begin();
    allowance.spend(1);
    end();
  }
  // 60 are spent, and a piece of work is known to cost about one.
  for (let nth = 0; nth < 100; nth++) allowance.begin();
  expect(allowance.has()).toBe(true);
});

test('an allowance of nothing never has any', () => {
  const allowance = new Allowance({ perSecond: 0, most: 0 });
  expect(allowance.has()).toBe(false);
});

test('free is the time in which the loop has nothing to do', async () => {
  const [began, since] = [freeMs(), performance.now()];
  while (performance.now() - since < 100);
  const busy = freeMs();
  expect(busy - began).toBeLessThan(50);
  // The first is over at once: its time began where the loop last looked at the clock.
  // And a machine that has other things to do wakes it up late.
  for (let nth = 0; nth < 50 && freeMs() - busy <= 50; nth++) await sleep(100);
  expect(freeMs() - busy).toBeGreaterThan(50);
});

test('pieces of work take one turn of the loop each, in the order of asking, and are paid for', async () => {
  const seen: string[] = [];
  let spent = 0;
  const turns = new Turns({
    spend: (ms) => {
      spent += ms;
    },
  });
  const work = (name: string): Promise<void> =>
    turns.run(() => {
      seen.push(name);
      // Runs before the next turn of the queue, whatever else waits in it.
      setImmediate(() => seen.push(`after ${name}`));
    });
  await Promise.all([work('a'), work('b'), work('c')]);
  expect(seen.filter((one) => !one.startsWith('after'))).toEqual(['a', 'b', 'c']);
  expect(seen.indexOf('after a')).toBeLessThan(seen.indexOf('c'));
  expect(spent).toBeGreaterThan(0);
  await expect(turns.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
  await work('d');
  expect(seen).toContain('d');
});
