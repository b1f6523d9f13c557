import { expect, test } from '@jest/globals';
import type { GateResult, Verdict } from './gate-result.ts';
import {
  decideRollout,
  nextStep,
  stepsOf,
  wayDown,
  type Place,
  type RolloutFacts,
} from './rollout.ts';

const STEPS = stepsOf({ steps: [5, 25], to: 'cutover' });
const gate = (name: string, verdict: Verdict): GateResult => ({
  ...{ gate: name, verdict, figure: 'f', limit: 'l' },
});

const decide = (at: Place, more: Partial<RolloutFacts> = {}): string => {
  const decision = decideRollout({
    ...{ at, steps: STEPS, settings: { bakeMs: 1_000, waitMs: 5_000 }, byRule: false },
    ...{ atMs: 1_000, idleMs: Infinity, redMs: 0, failingMs: 0, watched: [], ahead: [] },
    ...more,
  });
  return decision.kind === 'advance'
    ? `to ${decision.to.phase} ${decision.to.weight}`
    : decision.kind;
};

const at = (phase: Place['phase'], weight = 0): Place => ({ phase, weight });

test('the steps follow each other from wherever the capability is', () => {
  const walk: string[] = [];
  for (let here: Place | undefined = at('monolith'); here; here = nextStep(STEPS, here))
    walk.push(`${here.phase} ${here.weight}`);
  expect(walk).toEqual([
    ...['monolith 0', 'sync 0', 'shadow 0', 'canary 5', 'canary 25', 'cutover 0'],
  ]);
  expect(nextStep(STEPS, at('canary', 7))).toEqual(at('canary', 25));
  expect(nextStep(STEPS, at('canary'))).toEqual(at('canary', 5));
});

test('a step bakes before the next, and only where the service is seen', () => {
  for (const place of [at('shadow'), at('canary', 5), at('cutover')])
    expect(decide(place, { atMs: 999 })).toBe('wait');
  for (const place of [at('monolith'), at('sync'), at('canary')])
    expect(decide(place, { atMs: 0 })).toMatch(/^to /);
  expect(decide(at('canary', 25))).toBe('to cutover 0');
  expect(decide(at('cutover'))).toBe('finish');
});

test('what is established takes the traffic back at once, a flow when it stays red', () => {
  const red = (name: string, redMs: number, place = at('canary', 5)): string =>
    decide(place, {
      watched: [gate(name, 'fail')],
      ...{ redMs, failingMs: name.endsWith(' lag') ? 0 : redMs },
    });
  expect(red('canary errors', 0)).toBe('back');
  expect(red('canary p95', 0, at('cutover'))).toBe('back');
  expect(red('sync to lag', 0)).toBe('wait');
  expect(red('sync to', 2_999)).toBe('wait');
  expect(red('sync to', 3_000)).toBe('back');
  expect(red('sync to lag', 59_999)).toBe('wait');
  expect(red('sync to lag', 60_000)).toBe('back');
});

test('one moment of another failure does not make a lag one that has failed for long', () => {
  const watched = [gate('sync to lag', 'fail'), gate('sync to parked', 'fail')];
  const both = (redMs: number, failingMs: number): string =>
    decide(at('canary', 25), { watched, redMs, failingMs });
  expect(both(20_000, 250)).toBe('wait');
  expect(both(20_000, 3_000)).toBe('back');
  expect(both(60_000, 250)).toBe('back');
});

test('ownership goes back for what the service answers; for a flow that fails a human is called', () => {
  const red = (...names: string[]): string =>
    decide(at('cutover'), { watched: names.map((name) => gate(name, 'fail')), redMs: 60_000 });
  expect(red('canary errors')).toBe('back');
  expect(red('sync back', 'canary errors')).toBe('back');
  for (const name of ['sync back', 'sync to', 'sync back parked', 'sync back lag', 'sync to lag'])
    expect(red(name)).toBe('call');
});

test('red where nobody is served calls a human, unless it is a flow that may catch up', () => {
  const red = (name: string): string =>
    decide(at('shadow'), {
      watched: [gate(name, 'fail')],
      ...{ redMs: 3_000, failingMs: name.endsWith(' lag') ? 0 : 3_000 },
    });
  expect(red('shadow mismatches')).toBe('call');
  expect(red('sync to parked')).toBe('call');
  expect(red('sync to lag')).toBe('wait');
  // By rule somebody is served at every weight.
  const watched = [gate('canary errors', 'fail')];
  expect(decide(at('canary'), { watched, byRule: true })).toBe('back');
});

test('missing evidence waits, then calls a human; a verification that is missing is made', () => {
  const ahead = [gate('shadow samples', 'inconclusive')];
  expect(decide(at('shadow'), { ahead })).toBe('wait');
  expect(decide(at('shadow'), { ahead, atMs: 6_000 })).toBe('wait');
  expect(decide(at('shadow'), { ahead, atMs: 6_001 })).toBe('call');
  const verify = [gate('verify', 'inconclusive')];
  expect(decide(at('canary', 25), { ahead: verify })).toBe('verify');
  expect(decide(at('canary', 25), { ahead: [...verify, ...ahead] })).toBe('wait');
});

test('a copy that comes on is waited for as long as it takes', () => {
  const ahead = [gate('backfill', 'inconclusive')];
  expect(decide(at('sync'), { ahead, atMs: 3_600_000, idleMs: 5_000 })).toBe('wait');
  expect(decide(at('sync'), { ahead, atMs: 3_600_000, idleMs: 5_001 })).toBe('call');
});

test('whom nobody asks gives no answers: a canary without a share is not kept waiting for them', () => {
  const watched = [gate('canary answers', 'inconclusive')];
  expect(decide(at('canary'), { watched })).toBe('to canary 5');
  expect(decide(at('canary', 5), { watched })).toBe('wait');
});

test('the way back is at once, or by the steps that are declared, and ownership first', () => {
  const down = (place: Place, steps: number[], sinceMs = Infinity, byRule = false): unknown =>
    wayDown(place, { steps, everyMs: 100 }, byRule, sinceMs);
  expect(down(at('cutover'), [])).toEqual({ kind: 'switch', weight: 0 });
  expect(down(at('cutover'), [80, 40])).toEqual({ kind: 'switch', weight: 80 });
  expect(down(at('canary', 50), [], 0)).toEqual({ kind: 'weight', weight: 0 });
  expect(down(at('canary', 80), [80, 40])).toEqual({ kind: 'weight', weight: 40 });
  expect(down(at('canary', 80), [80, 40], 99)).toEqual({ kind: 'wait' });
  expect(down(at('canary', 40), [80, 40])).toEqual({ kind: 'weight', weight: 0 });
  expect(down(at('canary'), [])).toEqual({ kind: 'done' });
  expect(down(at('canary'), [], 0, true)).toEqual({ kind: 'leave' });
  expect(down(at('shadow'), [], 0, true)).toEqual({ kind: 'done' });
});
