import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { compareAnswers, compileRules, type Answer, type Difference } from './compare.ts';

type Rules = Record<'headers' | 'ignore' | 'unordered', string[]>;

const NONE: Rules = { headers: [], ignore: [], unordered: [] };

function answer(body: unknown, change: Partial<Answer> = {}): Answer {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const headers = { 'content-type': 'application/json' };
  return { status: 200, headers, body: new TextEncoder().encode(text), ...change };
}

function diff(a: unknown, b: unknown, rules: Partial<Rules> = {}): Difference[] {
  return compareAnswers(answer(a), answer(b), compileRules({ ...NONE, ...rules }));
}

const paths = (differences: readonly Difference[]): string[] => differences.map((one) => one.path);

describe('answers', () => {
  test('a difference is named by its path, indexes folded, with both values', () => {
    const control = { items: [{ price: '1' }, { price: '2' }] };
    const candidate = { items: [{ price: '1' }, { price: '3' }] };
    expect(diff(control, candidate)).toEqual([
      { path: 'items.*.price', at: 'items.1.price', control: '2', candidate: '3' },
    ]);
  });

  test('another status says it all', () => {
    const found = compareAnswers(
      answer('{}'),
      answer('{"a":1}', { status: 404 }),
      compileRules(NONE),
    );
    expect(found).toEqual([{ path: 'status', at: 'status', control: 200, candidate: 404 }]);
  });

  test('media types are compared without parameters, other headers when named', () => {
    const typed = (type: string, etag: string): Answer =>
      answer('{}', { headers: { 'content-type': type, etag } });
    const one = typed('application/json; charset=utf-8', 'a');
    const other = typed('Application/JSON', 'b');
    expect(compareAnswers(one, other, compileRules(NONE))).toEqual([]);
    expect(paths(compareAnswers(one, other, compileRules({ ...NONE, headers: ['ETag'] })))).toEqual(
      ['header etag'],
    );
    expect(paths(compareAnswers(one, typed('text/html', 'a'), compileRules(NONE)))).toEqual([
      'header content-type',
    ]);
  });

  test.each([
    ['{"a":1}', '{ "a" : 1.0 }'],
    ['{"a":1e2,"b":2}', '{"b":2,"a":100}'],
    ['[12345678901234567890]', '[1.234567890123456789e19]'],
    ['{"a":"é"}', '{"a":"\\u00e9"}'],
  ])('%s equals %s', (a, b) => {
    expect(diff(a, b)).toEqual([]);
  });

  test.each([
    ['{"a":1}', '{"a":"1"}', ['a']],
    ['{"a":null}', '{}', ['a']],
    ['{"a":0}', '{"a":false}', ['a']],
    ['{"a":[]}', '{"a":{}}', ['a']],
    ['{"id":9007199254740993}', '{"id":9007199254740992}', ['id']],
    ['[0.12345678901234567]', '[0.12345678901234568]', ['*']],
    ['[1,2]', '[1,2,3]', ['length']],
    ['{"a":[1]}', '{"a":[]}', ['a.length']],
    ['1', '2', ['$']],
    ['{"a":1', '{"a":2', ['body']],
    ['{"a":1}', 'garbage', ['body']],
  ])('%s differs from %s', (a, b, expected) => {
    expect(paths(diff(a, b))).toEqual(expected);
  });

  test('bodies that are no JSON are compared byte by byte', () => {
    const text = (body: string): Answer =>
      answer(body, { headers: { 'content-type': 'text/html' } });
    expect(compareAnswers(text('{"a":1}'), text('{"a":1.0}'), compileRules(NONE))).toHaveLength(1);
    expect(compareAnswers(text('x'), text('x'), compileRules(NONE))).toEqual([]);
  });

  test('ignored places, and whatever is below them, may differ', () => {
    const a = { updatedAt: 1, items: [{ updatedAt: 1, x: 1 }], meta: { deep: [1] } };
    const b = { updatedAt: 2, items: [{ updatedAt: 2, x: 2 }], meta: { deep: [2, 3] } };
    const ignore = ['updatedAt', 'items.*.updatedAt', 'meta'];
    expect(paths(diff(a, b, { ignore }))).toEqual(['items.*.x']);
    expect(paths(diff({}, { updatedAt: 1 }, { ignore }))).toEqual([]);
  });

  test('the order of unordered arrays does not matter, their elements do', () => {
    const a = {
      tags: [
        { n: 1, at: 5 },
        { n: 2, at: 6 },
        { n: 2, at: 7 },
      ],
    };
    const b = {
      tags: [
        { at: 1, n: 2 },
        { at: 2, n: 2 },
        { at: 3, n: 1 },
      ],
    };
    const rules = { ignore: ['tags.*.at'], unordered: ['tags'] };
    expect(diff(a, b, rules)).toEqual([]);
    expect(paths(diff(a, { tags: [...b.tags.slice(0, 2), { n: 3, at: 0 }] }, rules))).toEqual([
      'tags.*.n',
    ]);
    expect(paths(diff(a, { tags: b.tags.slice(1) }, rules))).toEqual(['tags.length']);
    expect(diff(a, b, { ignore: ['tags.*.at'] })).not.toEqual([]);
  });
});

describe('laws', () => {
  const json = fc.jsonValue({ maxDepth: 4 });

  test('equal values never differ, however they are written', () => {
    const shuffled = (value: unknown): unknown =>
      Array.isArray(value)
        ? value.map(shuffled)
        : typeof value === 'object' && value !== null
          ? Object.fromEntries(
              Object.entries(value)
                .reverse()
                .map(([key, inner]) => [key, shuffled(inner)]),
            )
          : value;
    fc.assert(
      fc.property(json, (value) => {
        expect(diff(JSON.stringify(value), JSON.stringify(shuffled(value), null, 2))).toEqual([]);
      }),
    );
  });

  test('a changed leaf is found at its path, and only there', () => {
    fc.assert(
      fc.property(json, fc.nat(), (value, pick) => {
        const leaves = leavesOf(value, []);
        const leaf = leaves[pick % Math.max(1, leaves.length)];
        if (!leaf) return;
        const changed = replaced(value, leaf, 'something else entirely');
        const [found, ...more] = diff(JSON.stringify(value), JSON.stringify(changed));
        expect(found?.at).toBe(leaf.join('.') || '$');
        expect(more).toEqual([]);
      }),
    );
  });

  test('any order of an unordered array is equal', () => {
    fc.assert(
      fc.property(fc.array(json), fc.func(fc.integer()), (items, key) => {
        const sorted = items
          .map((item) => [key(item), item] as const)
          .sort(([a], [b]) => a - b)
          .map(([, item]) => item);
        expect(diff({ items }, { items: sorted }, { unordered: ['items'] })).toEqual([]);
      }),
    );
  });
});

function leavesOf(value: unknown, at: string[]): string[][] {
  if (typeof value !== 'object' || value === null) return [at];
  return Object.entries(value).flatMap(([key, inner]) => leavesOf(inner, [...at, key]));
}

function replaced(value: unknown, [key, ...rest]: string[], leaf: unknown): unknown {
  if (key === undefined) return leaf;
  const entries = Object.entries(value as object).map(([name, inner]): [string, unknown] => [
    name,
    name === key ? replaced(inner, rest, leaf) : inner,
  ]);
  return Array.isArray(value) ? entries.map(([, inner]) => inner) : Object.fromEntries(entries);
}
