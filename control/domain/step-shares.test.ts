import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { shareOf } from './step-shares.ts';

test('all that a rollout may pass through has together no more than the whole', () => {
  const weights = fc.uniqueArray(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(weights, fc.integer({ min: 0, max: 100 }), (steps, begun) => {
      const places = [...new Set([...steps, begun])];
      const shares = places.map((weight) => shareOf(steps, { phase: 'canary', weight }));
      const owned = shareOf(steps, { phase: 'cutover', weight: 0 });
      return shares.reduce((sum, one) => sum + one, owned) <= 1 + 1e-9;
    }),
  );
});

test('half and half, which is the hardest to judge, has the most', () => {
  const steps = [5, 25, 50, 100];
  const shares = steps.map((weight) => shareOf(steps, { phase: 'canary', weight }));
  expect(Math.max(...shares)).toBe(shares[2]);
});
