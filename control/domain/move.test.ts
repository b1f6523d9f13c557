// What a refused move advises, and which moves lead back to a phase.
import { expect, test } from '@jest/globals';
import type { GateResult } from './gates.ts';
import { gateError, wayBack } from './move.ts';

const refused = (gate: string, more: Partial<GateResult> = {}): GateResult[] => [
  { gate, verdict: 'inconclusive', figure: '-', limit: '-', ...more },
];

const hint = (event: 'advance' | 'rollback', gates: GateResult[]): string | undefined =>
  gateError({ capability: 'catalog', event }, 'canary', gates, gates).hint;

test('a refused way back advises to roll back again, a refused advance to advance again', () => {
  for (const gates of [
    refused('sync to lag', { verdict: 'fail' }),
    refused('sync to'),
    refused('sync back', { remedy: '`banyan sync resume catalog` lets it go on' }),
  ]) {
    expect(hint('rollback', gates)).toMatch(/roll back again\.$/);
    expect(hint('advance', gates)).toMatch(/advance again\.$/);
  }
});

test('what is paused is advised to be resumed', () => {
  expect(hint('advance', refused('backfill', { remedy: 'resume it' }))).toBe(
    'resume it; then advance again.',
  );
});

test('the way back is every phase down to the one that is meant', () => {
  expect(wayBack('cutover', 'sync')).toEqual(['canary', 'shadow', 'sync']);
  expect(wayBack('shadow', 'shadow')).toEqual([]);
  expect(wayBack('sync', 'canary')).toBeUndefined();
  expect(wayBack('retired', 'monolith')).toBeUndefined();
});
