import { expect, test } from '@jest/globals';
import type { Mode } from './mapping.ts';
import { remapped } from './remapped.ts';

const before = { owner: 'o', guest: 'g', moved: 'm' };
const anew = { owner: 'o2', guest: 'g2', moved: 'm2' };
const verdict = (direction: 'to' | 'back', mode: Mode, now: Partial<typeof before>): string =>
  remapped(before, { ...before, ...now }, direction, mode).verdict;

test('what the monolith owns is copied again, by whatever the mapping says otherwise', () => {
  expect(verdict('to', 'owner', {})).toBe('same');
  expect(verdict('to', 'owner', { owner: 'o2' })).toBe('copy again');
  expect(verdict('to', 'guest', { owner: 'o2', moved: 'm2' })).toBe('same');
  expect(verdict('to', 'guest', { guest: 'g2' })).toBe('copy again');
  expect(verdict('back', 'guest', anew)).toBe('same');
});

test('a column that is new to what moves is refused wherever the service writes; another lens is not', () => {
  for (const [direction, mode] of [
    ['back', 'owner'],
    ['to', 'sharing owner'],
    ['back', 'sharing guest'],
  ] as const) {
    expect(verdict(direction, mode, { moved: 'm2', owner: 'o2' })).toBe('refused');
    expect(verdict(direction, mode, { owner: 'o2', guest: 'g2' })).toBe('same');
  }
});

test('what a flow could not copy is noted as not copied, and is once the monolith owns', () => {
  for (const mode of ['guest', 'sharing owner'] as const) {
    const { version } = remapped(before, { ...anew, moved: 'm' }, 'to', mode);
    expect(remapped(version, anew, 'to', 'owner').verdict).toBe('copy again');
  }
});

test('a copy of a version that noted no mapping counts as one by the present mapping', () => {
  expect(remapped(undefined, anew, 'to', 'owner')).toEqual({ verdict: 'same', version: anew });
});
