// Regressions in answers as a shop gives them: 300 of them, ten of each kind, each found at its place
// and nowhere else. The seeds are fixed: the same answers and mistakes every time.
import { describe, expect, test } from '@jest/globals';
import { stableAnswer } from '../test/support/answers.ts';
import { randomOf } from '../test/support/random.ts';
import { MISTAKE_NAMES, regress, type Regression } from '../test/support/regressions.ts';
import { compareAnswers, compileRules, type Answer } from './domain/compare.ts';

const EACH = 12;
const RULES = compileRules({});

function answer(value: unknown, change: Partial<Answer> = {}): Answer {
  return {
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: Buffer.from(JSON.stringify(value)),
    ...change,
  };
}

describe.each(MISTAKE_NAMES.map((name, kind) => ({ name, kind })))('$name', ({ kind }) => {
  test('is found at its path', () => {
    let made = 0;
    for (let seed = 1; made < EACH; seed++) {
      const random = randomOf(1_000 * kind + seed);
      const control = stableAnswer(random);
      const wrong: Regression | undefined = regress(control, kind, random);
      if (!wrong) continue;
      made += 1;
      const found = compareAnswers(answer(control), answer(wrong.answer), RULES);
      expect({ seed, paths: [...new Set(found.map((one) => one.path))] }).toEqual({
        seed,
        paths: [wrong.path],
      });
    }
  });
});

describe('beside the body', () => {
  const control = answer(stableAnswer(randomOf(1)), {
    headers: { 'content-type': 'application/json', etag: '"1"', 'cache-control': 'no-store' },
  });
  const { body } = control;
  const rules = compileRules({ headers: ['ETag', 'Cache-Control'] });
  const withHeaders = (change: Record<string, string>): Answer => ({
    ...control,
    headers: { ...control.headers, ...change },
  });
  const noEtag = { 'content-type': 'application/json', 'cache-control': 'no-store' };

  test.each<[string, Answer, string]>([
    ['a wrong status', { ...control, status: 201 }, 'status'],
    ['an error', { ...control, status: 500, body: Buffer.from('{}') }, 'status'],
    ['a redirect', { ...control, status: 302 }, 'status'],
    ['a wrong content type', withHeaders({ 'content-type': 'text/plain' }), 'header content-type'],
    ['a missing header', { ...control, headers: noEtag }, 'header etag'],
    ['a wrong header', withHeaders({ 'cache-control': 'public' }), 'header cache-control'],
    ['a body cut short', { ...control, body: body.subarray(0, body.length - 7) }, 'body'],
    ['an empty body', { ...control, body: Buffer.alloc(0) }, 'body'],
    ['an error page', { ...control, body: Buffer.from('<html>') }, 'body'],
  ])('%s is found', (_name, candidate, path) => {
    expect(compareAnswers(control, candidate, rules)[0]?.path).toBe(path);
    expect(compareAnswers(control, control, rules)).toEqual([]);
  });
});
