import { describe, expect, test } from '@jest/globals';
import type { Asked } from './asked.ts';
import { compareAnswers, compileRules, type Answer } from './domain/compare.ts';
import { RouteNoise } from './domain/noise.ts';
import type { Verdict } from './domain/verdict.ts';
import { recheck } from './recheck.ts';

function answer(value: unknown): Answer {
  return {
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: new TextEncoder().encode(JSON.stringify(value)),
  };
}

const RULES = compileRules({ headers: [], ignore: [], unordered: [] });

interface Script {
  /** The answer that the client got, then what the control says in each round. */
  readonly control: unknown[];
  /** What the candidate says in each round; a string is a failure. */
  readonly candidate: unknown[];
  readonly caughtUp?: boolean[] | undefined;
  readonly isOver?: () => boolean;
  readonly noise?: RouteNoise;
  readonly thorough?: boolean;
}

async function play(script: Script): Promise<{ verdict: Verdict; rounds: number }> {
  let round = 0;
  const [first, ...again] = script.control;
  let last = first;
  const candidate = [...script.candidate];
  const caughtUp = script.caughtUp && [...script.caughtUp];
  const asked = (value: unknown): Promise<Asked> =>
    Promise.resolve(
      typeof value === 'string'
        ? { kind: 'silent', why: value }
        : { kind: 'answer', answer: answer(value) },
    );
  const verdict = await recheck({
    control: answer(first),
    askControl: () => {
      if (again.length > 0) last = again.shift();
      return asked(last);
    },
    askCandidate: () => {
      round += 1;
      return asked(candidate.shift());
    },
    caughtUp: caughtUp && (() => Promise.resolve(caughtUp.shift() ?? false)),
    isOver: script.isOver ?? (() => false),
    differ: (one, other) => Promise.resolve(compareAnswers(one, other, RULES)),
    forget: () => undefined,
    noise: script.noise ?? new RouteNoise(),
    thorough: script.thorough ?? false,
  });
  return { verdict, rounds: round };
}

const SYNCED = [true, true, true];
const p = (price: number, stock = 1): unknown => ({ items: [{ price, stock }] });

const list = (...items: number[]): unknown => ({ items });

describe('with tables', () => {
  test('an order that is another one in every round is reported', async () => {
    const still = await play({
      control: [list(1, 2), list(1, 2), list(1, 2), list(1, 2)],
      candidate: [list(2, 1), list(2, 1), list(2, 1)],
      caughtUp: SYNCED,
    });
    expect(still.verdict).toMatchObject({
      kind: 'mismatched',
      differences: [{ at: 'items.order' }],
    });
  });

  test('a difference that the watermark mends is none', async () => {
    const { verdict, rounds } = await play({
      control: [p(2), p(2)],
      candidate: [p(2)],
      caughtUp: SYNCED,
    });
    expect(verdict).toEqual({ kind: 'matched', noise: 0 });
    expect(rounds).toBe(1);
  });

  test('a difference that holds in every round is reported at its place', async () => {
    const { verdict, rounds } = await play({
      control: [p(2), p(2), p(2), p(2)],
      candidate: [p(3), p(3), p(3)],
      caughtUp: SYNCED,
    });
    expect(verdict).toMatchObject({
      kind: 'mismatched',
      differences: [{ path: 'items.*.price', control: 2, candidate: 3 }],
    });
    expect(rounds).toBe(3);
  });

  test('nothing is asked before the watermark has passed', async () => {
    const { verdict, rounds } = await play({ control: [p(2)], candidate: [], caughtUp: [false] });
    expect(verdict).toEqual({ kind: 'dropped', reason: 'not-synced' });
    expect(rounds).toBe(0);
  });

  test('a place that never stands still is noise, one beside it that does is reported', async () => {
    const moving = await play({
      control: [p(2, 9), p(2, 8), p(2, 7), p(2, 6)],
      candidate: [p(2, 8.5), p(2, 7.5), p(2, 6.5)],
      caughtUp: SYNCED,
    });
    expect(moving.verdict).toEqual({ kind: 'matched', noise: 1 });
    const both = await play({
      control: [p(2, 9), p(2, 8), p(2, 7), p(2, 6)],
      candidate: [p(3, 8.5), p(3, 7.5), p(3, 6.5)],
      caughtUp: SYNCED,
    });
    expect(both.verdict).toMatchObject({
      kind: 'mismatched',
      differences: [{ path: 'items.*.price' }],
    });
  });

  test('a row that came meanwhile makes its list uncertain, not wrong', async () => {
    const { verdict } = await play({
      control: [
        [1, 2],
        [0, 1, 2],
        [0, 1, 2],
      ],
      candidate: [
        [0, 1],
        [0, 1, 2],
      ],
      caughtUp: SYNCED,
    });
    expect(verdict).toEqual({ kind: 'matched', noise: 0 });
  });

  test('a candidate that keeps failing is a mismatch of the status', async () => {
    const { verdict } = await play({
      control: [p(2), p(2), p(2), p(2)],
      candidate: ['ECONNREFUSED', 'ECONNREFUSED', 'ECONNREFUSED'],
      caughtUp: SYNCED,
    });
    expect(verdict).toMatchObject({
      kind: 'mismatched',
      differences: [{ path: 'status', control: 200, candidate: 'no answer: ECONNREFUSED' }],
    });
  });

  test('a control that fails meanwhile tells nothing', async () => {
    const { verdict } = await play({
      control: [p(2), 'gone'],
      candidate: [p(3)],
      caughtUp: SYNCED,
    });
    expect(verdict).toEqual({ kind: 'dropped', reason: 'control-failed' });
  });
});

describe('noise', () => {
  const v = (id: unknown, price = 2): unknown => ({ id, price });

  test('what the control does not reproduce is none of the candidate’s fault, from the first request on', async () => {
    const noise = new RouteNoise();
    const ids = [1, 2, 3, 4].map((id) => v(id));
    const first = await play({
      control: ids,
      candidate: [v(7), v(8), v(9)],
      caughtUp: SYNCED,
      noise,
    });
    expect(first).toEqual({ verdict: { kind: 'matched', noise: 1 }, rounds: 2 });
    // Known by now: one look is enough.
    const next = await play({ control: ids, candidate: [v(7)], caughtUp: SYNCED, noise });
    expect(next).toEqual({ verdict: { kind: 'matched', noise: 1 }, rounds: 1 });
  });

  test('beside noise, and in the shape of what is noisy, a fault is found', async () => {
    const ids = [1, 2, 3, 4].map((id) => v(id));
    const priced = await play({
      control: ids,
      candidate: [v(7, 3), v(8, 3), v(9, 3)],
      caughtUp: SYNCED,
    });
    expect(priced.verdict).toMatchObject({ differences: [{ path: 'price' }], noise: 1 });
    const shaped = await play({
      control: ids,
      candidate: [v(null), v(null), v(null)],
      caughtUp: SYNCED,
    });
    expect(shaped.verdict).toMatchObject({ kind: 'mismatched', differences: [{ path: 'id' }] });
  });

  test('before a place is reported for the first time, the control must stand still for longer', async () => {
    // By chance it said `true` three times.
    const control = [true, true, true, true, false, true].map((flag) => v(flag));
    const candidate = [v(false), v(false), v(false)];
    const noise = new RouteNoise();
    const { verdict } = await play({ control, candidate, caughtUp: SYNCED, noise });
    expect(verdict.kind).not.toBe('mismatched');
    const quiet = await play({ control: [v(true)], candidate, caughtUp: SYNCED });
    expect(quiet.verdict.kind).toBe('mismatched');
  });

  test('nor is a place reported that has become noise while the control was asked', async () => {
    const flags = (...all: boolean[]): unknown => ({ items: all.map((flag) => ({ flag })) });
    const [quiet, moved] = [flags(true, true), flags(true, false)];
    const { verdict } = await play({
      control: [quiet, quiet, quiet, quiet, moved, quiet],
      candidate: [flags(false, true), flags(false, true), flags(false, true)],
      caughtUp: SYNCED,
    });
    expect(verdict.kind).not.toBe('mismatched');
  });

  test('a shape of all elements is uncertain once one of the control’s elements has taken it', async () => {
    const list = (price: number, ...more: object[]): unknown => ({ items: [{ price }, ...more] });
    const wide = {
      items: [
        { price: 1, off: 5 },
        { price: 2, off: 5 },
      ],
    };
    const { verdict } = await play({
      control: [list(1), list(2), list(3), list(4), { items: [{ price: 5, off: 5 }] }],
      candidate: [wide, wide, wide],
      caughtUp: SYNCED,
    });
    if (verdict.kind !== 'mismatched') throw new Error('the length is wrong');
    expect(verdict.differences.map(({ path }) => path)).toEqual(['items.length']);
  });

  test('an element that is known by its identity is firm, however its list moves', async () => {
    const list = (...ids: number[]): unknown => ({ items: ids.map((id) => ({ id, price: id })) });
    const wrong = {
      items: [
        { id: 2, price: 9 },
        { id: 1, price: 1 },
      ],
    };
    const { verdict } = await play({
      control: [list(1, 2), list(2, 1), list(3, 1, 2), list(1, 2, 3)],
      candidate: [wrong, wrong, wrong],
      caughtUp: SYNCED,
    });
    expect(verdict).toMatchObject({ kind: 'mismatched', differences: [{ path: 'items.*.price' }] });
  });

  test('a change from nothing to something makes uncertain what is inside', async () => {
    const one = { promotion: { code: 'A' } };
    const none = { promotion: null };
    const other = { promotion: { code: 'B' } };
    const { verdict } = await play({
      control: [one, one, one, one, none, one],
      candidate: [other, other, other],
      caughtUp: SYNCED,
    });
    expect(verdict.kind).not.toBe('mismatched');
  });
});

test('without tables it asks twice, at once', async () => {
  const { verdict, rounds } = await play({
    control: [p(2), p(2), p(2)],
    candidate: [p(3), p(3)],
  });
  expect(verdict.kind).toBe('mismatched');
  expect(rounds).toBe(2);
});

test('the end of the phase ends it', async () => {
  const { verdict } = await play({ control: [p(2)], candidate: [], isOver: () => true });
  expect(verdict).toEqual({ kind: 'dropped', reason: 'over' });
});
