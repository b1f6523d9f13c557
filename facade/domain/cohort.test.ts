import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { BUCKETS, bucketOf, inShare } from './cohort.ts';

const share = fc.integer({ min: 0, max: BUCKETS }).map((part) => part / BUCKETS);

test('a key keeps its bucket in every release', () => {
  // Written down once: a change of the hash would move live users between the paths.
  expect(bucketOf('catalog', 'ada')).toBe(4148);
  expect(bucketOf('catalog', '')).toBe(6679);
  expect(bucketOf('catalog', 'ünïcode ☃')).toBe(4917);
});

test('raising a share keeps everybody who was in it', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), share, share, (salt, key, a, b) => {
      const [small, large] = a < b ? [a, b] : [b, a];
      expect(inShare(salt, key, small) && !inShare(salt, key, large)).toBe(false);
    }),
  );
});

test('a share of 0 takes nobody and a share of 1 takes everybody', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (salt, key) => {
      expect([inShare(salt, key, 0), inShare(salt, key, 1)]).toEqual([false, true]);
    }),
  );
});

test.each([0.01, 0.05, 0.25, 0.5])('a share of %d takes about as many', (given) => {
  const keys = 40_000;
  let taken = 0;
  for (let key = 0; key < keys; key++) if (inShare('catalog', `user-${key}`, given)) taken += 1;
  const spread = Math.sqrt((given * (1 - given)) / keys);
  expect(Math.abs(taken / keys - given)).toBeLessThan(4 * spread);
});

test("one capability's cohorts are independent of another's", () => {
  const keys = 40_000;
  let both = 0;
  for (let key = 0; key < keys; key++)
    if (inShare('catalog', `u${key}`, 0.5) && inShare('customer', `u${key}`, 0.5)) both += 1;
  expect(both / keys).toBeCloseTo(0.25, 1);
});
