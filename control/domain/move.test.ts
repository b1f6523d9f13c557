// What a refused move advises, which moves lead back to a phase, and which open a write canary or end it.
import { expect, test } from '@jest/globals';
import type { Capability } from '../definition.ts';
import type { GateResult } from './gates.ts';
import { endsSharing, gateError, opensToCohorts, wayBack } from './move.ts';
import type { Phase } from './phase.ts';

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

const writes = (may: boolean): Capability => ({ canary: { writes: may } }) as Capability;

test('a weight opens a closed write canary unless it is lower than the one before', () => {
  const opens = (phase: Phase, before: number, weight: number, shared = false): boolean =>
    opensToCohorts(writes(true), { phase, shared, weight: before }, { to: 'canary', weight });
  expect(opens('canary', 80, 40)).toBe(false);
  expect(opens('canary', 80, 80)).toBe(true);
  expect(opens('canary', 40, 80)).toBe(true);
  expect(opens('canary', 0, 5)).toBe(true);
  expect(opens('canary', 0, 0)).toBe(false);
  expect(opens('shadow', 0, 5)).toBe(true);
  expect(opens('cutover', 0, 80)).toBe(false);
  expect(opens('canary', 40, 80, true)).toBe(false);
});

test('a write canary ends where the monolith alone writes on', () => {
  const ends = (to: Phase, weight: number, shared = true, may = true): boolean =>
    endsSharing(writes(may), { shared }, { to, weight });
  expect(ends('canary', 0)).toBe(true);
  expect(ends('shadow', 0)).toBe(true);
  expect(ends('canary', 5)).toBe(false);
  // The definition has changed under way.
  expect(ends('canary', 5, true, false)).toBe(true);
  expect(ends('cutover', 0)).toBe(false);
  expect(ends('canary', 0, false)).toBe(false);
});
