// The share of reads that is copied: drawn from the request id alone, so that every replica draws
// the same, and nested, so that the reads of a small share are part of each larger one.
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { defineMigration } from '../../control/define.ts';
import { initialState } from '../../control/domain/state.ts';
import { decide, type RequestFacts } from './decide.ts';
import { compileRoutes } from './routes.ts';

function isCopied(requestId: string, sample: number, capability = 'catalog'): boolean {
  const { capabilities } = defineMigration({
    monolith: { upstream: 'http://m' },
    services: { s: { upstream: 'http://s' } },
    capabilities: { [capability]: { service: 's', routes: ['/a'], shadow: { sample } } },
  });
  const nothing = (): undefined => undefined;
  const facts: RequestFacts = {
    takenMethod: 'GET',
    certain: true,
    segments: ['a'],
    requestId,
    header: nothing,
    cookie: nothing,
    query: nothing,
    claim: nothing,
    freshCohort: () => 'x',
  };
  const states = new Map([[capability, { ...initialState(capability), phase: 'shadow' as const }]]);
  const decision = decide(compileRoutes(capabilities), states, facts, {
    leaseValid: () => true,
    wroteAt: () => undefined,
    isVerified: () => true,
  });
  if (decision.kind !== 'forward') throw new Error('not forwarded');
  return decision.shadow;
}

const share = fc.double({ min: 0, max: 1, noNaN: true });

test('what a share copies, every larger share copies, too', () => {
  fc.assert(
    fc.property(fc.string(), share, share, (requestId, a, b) => {
      const [small, large] = [Math.min(a, b), Math.max(a, b)];
      if (isCopied(requestId, small)) expect(isCopied(requestId, large)).toBe(true);
    }),
  );
});

test('the same request is drawn alike, everywhere and every time; none at 0, all at 1', () => {
  fc.assert(
    fc.property(fc.string(), share, (requestId, sample) => {
      expect(isCopied(requestId, sample)).toBe(isCopied(requestId, sample));
      expect(isCopied(requestId, 0)).toBe(false);
      expect(isCopied(requestId, 1)).toBe(true);
    }),
  );
});

test('a share is about that share of the reads, and another one for another capability', () => {
  const ids = Array.from({ length: 2_000 }, (_, nth) => `request-${nth}`);
  const catalog = ids.filter((id) => isCopied(id, 0.25));
  expect(catalog.length).toBeGreaterThan(430);
  expect(catalog.length).toBeLessThan(570);
  const both = catalog.filter((id) => isCopied(id, 0.25, 'orders'));
  expect(both.length).toBeGreaterThan(75);
  expect(both.length).toBeLessThan(180);
});
