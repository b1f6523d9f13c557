import { describe, expect, test } from '@jest/globals';
import { randomOf } from '../../test/support/random.ts';
import type { Difference } from './difference-kind.ts';
import { kindOf } from './difference-kind.ts';
import { RouteNoise } from './noise.ts';

const at = (path: string, control: unknown = 'a', candidate: unknown = 'b'): Difference => ({
  path,
  at: path,
  control,
  candidate,
});

const KIND = kindOf(at('x'));

/** A route whose control differs from itself at `x` in so many of so many pairs. */
function learned(differing: number, pairs: number): RouteNoise {
  const noise = new RouteNoise();
  for (let nth = 0; nth < pairs; nth++) noise.learn(nth < differing ? [at('x')] : []);
  return noise;
}

describe('what is noise', () => {
  test.each([
    [0, 10, false],
    [1, 1, false],
    [2, 2, true],
    [2, 30, true],
    [2, 100, false],
    [10, 100, true],
  ])('%i of %i pairs of the control that differ: %s', (differing, pairs, expected) => {
    expect(learned(differing, pairs).isNoise(KIND)).toBe(expected);
  });

  test('each place is told once, when it becomes noise', () => {
    const told: string[] = [];
    const noise = new RouteNoise((kind) => told.push(kind));
    for (let nth = 0; nth < 10; nth++) noise.learn([at('x'), at('y', 1, null)]);
    expect(told.sort()).toEqual(['x', 'y null', 'y number']);
  });

  test('a control that is deployed anew is learned anew', () => {
    const noise = learned(0, 5_000);
    for (let nth = 0; nth < 20; nth++) noise.learn([at('x')]);
    expect(noise.isNoise(KIND)).toBe(true);
    for (let nth = 0; nth < 2_000; nth++) noise.learn([]);
    expect(noise.isNoise(KIND)).toBe(false);
  });

  test('what is remembered of a route is bounded', () => {
    const noise = new RouteNoise();
    for (let nth = 0; nth < 10_000; nth++) noise.learn([at(`x${nth}`), at(`x${nth}`)]);
    for (let nth = 0; nth < 4; nth++) noise.learn([at('late')]);
    expect(noise.isNoise('late')).toBe(false);
  });
});

describe('values are excused, shapes are not', () => {
  const uuid = '0b8f8a52-0d0c-4b0e-9f54-6f6a2f1c0d11';
  test.each<[string, unknown, unknown, unknown, boolean]>([
    ['another id', uuid, uuid.replace('0', '1'), uuid.replace('0', '2'), true],
    ['null', uuid, uuid.replace('0', '1'), null, false],
    ['a missing member', 1, 2, '(absent)', false],
    ['an empty text', 'a', 'b', '', false],
    ['no id', uuid, uuid.replace('0', '1'), 'undefined', false],
    ['no date', '2026-01-01T10:00:00Z', '2026-01-01T10:00:01Z', 'Invalid Date', false],
    ['text for a number', 1, 2, '3', false],
    ['null where the control has null at times', 1, null, null, true],
    ['a number where the control has null at times', null, 1, 2, true],
  ])('%s', (_name, one, other, candidate, excused) => {
    const noise = new RouteNoise();
    for (let nth = 0; nth < 4; nth++) {
      noise.learn([at('x', one, other)]);
      noise.learn([at('x', uuid === one ? `9${uuid.slice(1)}` : one, one)]);
    }
    expect(noise.isNoise(kindOf(at('x', one, candidate)))).toBe(excused);
  });

  test('a control that fails at times does not excuse a candidate that fails in another way', () => {
    const noise = new RouteNoise();
    for (let nth = 0; nth < 4; nth++) noise.learn([at('status', 200, 503)]);
    expect(noise.isNoise(kindOf(at('status', 200, 503)))).toBe(true);
    expect(noise.isNoise(kindOf(at('status', 200, 404)))).toBe(false);
  });

  test('nor does a page that varies excuse one that is empty, or text where JSON was', () => {
    const noise = new RouteNoise();
    const page = 'JSON of 10 bytes: {"a":1}';
    for (let nth = 0; nth < 4; nth++) noise.learn([at('body', page, page)]);
    expect(noise.isNoise(kindOf(at('body', page, page)))).toBe(true);
    expect(noise.isNoise(kindOf(at('body', page, 'empty')))).toBe(false);
    expect(noise.isNoise(kindOf(at('body', page, 'text of 10 bytes: <html>')))).toBe(false);
  });
});

describe('wrong on top of noise', () => {
  /** Plays comparisons of one place: the control's two answers, and the candidate's between them. */
  function play(count: number, draw: () => unknown, candidate: () => unknown): RouteNoise {
    const noise = learned(50, 100);
    for (let nth = 0; nth < count; nth++) {
      const [before, between, after] = [draw(), candidate(), draw()];
      const moved = before !== after;
      const agrees = between === before || between === after;
      noise.weigh(KIND, { firm: !moved && !agrees ? 1 : 0, agreed: moved && agrees ? 1 : 0 });
      if (noise.isWrong(KIND)) return noise;
    }
    return noise;
  }

  test.each([2, 3, 5, 10])(
    'a candidate that is as noisy as the control, one of %i values, is never called wrong',
    (values) => {
      for (let seed = 1; seed <= 20; seed++) {
        const random = randomOf(seed);
        const draw = (): number => Math.floor(random() * values);
        expect(play(2_000, draw, draw).isWrong(KIND)).toBe(false);
      }
    },
  );

  test.each([0.05, 0.5, 0.9])(
    'one that never has a value of the control is, where that varies in %d of the answers',
    (share) => {
      for (let seed = 1; seed <= 20; seed++) {
        const random = randomOf(seed);
        const draw = (): number => (random() < share ? random() : 0);
        const noise = play(5_000, draw, () => 'wrong');
        expect(noise.isWrong(KIND)).toBe(true);
        expect(noise.isNoise(KIND)).toBe(false);
      }
    },
  );
});

test('a place is proven quiet by one long look, or by many short ones in which it never moved', () => {
  const noise = new RouteNoise();
  noise.prove('x');
  expect([noise.isProven('x'), noise.isProven('y')]).toEqual([true, false]);
  for (let nth = 0; nth < 8; nth++) {
    expect(noise.isProven('y')).toBe(false);
    noise.weigh('y', { firm: 2, agreed: 0 });
  }
  expect(noise.isProven('y')).toBe(true);
  noise.learn([at('y')]);
  expect(noise.isProven('y')).toBe(false);
});

test('a share of the comparisons is repeated, and the first of a route', () => {
  const due = (share: number): boolean[] => {
    const noise = new RouteNoise();
    return Array.from({ length: 1_000 }, () => noise.isDue(share));
  };
  expect(due(0)).not.toContain(true);
  expect(due(1)).not.toContain(false);
  expect(due(0.05).slice(0, 3)).toEqual([true, true, true]);
  expect(due(0.05).filter(Boolean)).toHaveLength(53);
});
