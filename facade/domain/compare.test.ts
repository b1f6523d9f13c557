import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { compareAnswers, compileRules, type Answer, type Difference } from './compare.ts';

type Rules = Parameters<typeof compileRules>[0];

const NONE: Rules = {};

function answer(body: unknown, change: Partial<Answer> = {}): Answer {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const headers = { 'content-type': 'application/json' };
  return { status: 200, headers, body: new TextEncoder().encode(text), ...change };
}

function diff(a: unknown, b: unknown, rules: Rules = {}): Difference[] {
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

  test('letters of another encoding are told apart', () => {
    const latin = (text: string): Answer => answer('', { body: Buffer.from(text, 'latin1') });
    const [one, other] = [latin('{"a":"M\u00fcller"}'), latin('{"a":"M\u00e4ller"}')];
    expect(compareAnswers(one, other, compileRules(NONE))).toMatchObject([
      { path: 'a', control: 'M\u00fcller', candidate: 'M\u00e4ller' },
    ]);
    expect(compareAnswers(one, one, compileRules(NONE))).toEqual([]);
  });

  test('where a redirect leads is compared, unless that is ignored', () => {
    const to = (location: string, status = 302): Answer =>
      answer('', { status, headers: { location } });
    const led = (rules: Rules, ...at: [string, string, number?]): string[] =>
      paths(
        compareAnswers(to(at[0], at[2]), to(at[1], at[2]), compileRules({ ...NONE, ...rules })),
      );
    expect(led({}, '/a', 'http://inside:8081/a')).toEqual(['header location']);
    expect(led({}, '/a', '/a')).toEqual([]);
    expect(led({ ignore: ['header Location'] }, '/a', '/b')).toEqual([]);
    expect(led({}, '/a', '/b', 200)).toEqual([]);
    expect(led({}, '/a', '/b', 304)).toEqual([]);
  });

  test('a type that is ignored is no difference', () => {
    const [one, other] = ['text/plain', 'text/html'].map((type) =>
      answer('a', { headers: { 'content-type': type } }),
    ) as [Answer, Answer];
    expect(paths(compareAnswers(one, other, compileRules(NONE)))).toEqual(['header content-type']);
    const rules = compileRules({ ...NONE, ignore: ['header Content-Type'] });
    expect(compareAnswers(one, other, rules)).toEqual([]);
  });

  test('a place full of one kind of difference hides no other kind there', () => {
    const items = (at: (index: number) => unknown): unknown => ({
      items: Array.from({ length: 50 }, (_, index) => ({ at: at(index) })),
    });
    const found = diff(
      items((index) => `a${index}`),
      items((index) => (index === 40 ? null : `b${index}`)),
    );
    expect(found).toHaveLength(21);
    expect(found.at(-1)).toMatchObject({ at: 'items.40.at', candidate: null });
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

describe('arrays', () => {
  const items = (...ids: number[]): object => ({ items: ids.map((id) => ({ id, price: id / 2 })) });

  test('a wrong element of a list in another order is told by its identity', () => {
    const wrong = {
      items: [
        { id: 3, price: 1.5 },
        { id: 1, price: 9 },
        { id: 2, price: 1 },
      ],
    };
    expect(diff(items(1, 2, 3), wrong)).toMatchObject([
      { path: 'items.order' },
      { path: 'items.*.price', at: 'items.id=1.price', control: 0.5, candidate: 9 },
    ]);
  });

  test('what two lists of different length have in common is compared all the same', () => {
    const wrong = {
      items: [
        { id: 2, price: 1 },
        { id: 3, price: 9 },
      ],
    };
    expect(paths(diff(items(1, 2, 3), wrong))).toEqual(['items.length', 'items.*.price']);
  });

  test('where nothing tells elements apart, a changed length leaves their types and members', () => {
    const a = { items: [{ n: 1 }, { n: 1 }, { n: 2 }] };
    expect(paths(diff(a, { items: [{ n: 1 }, { n: 1 }] }))).toEqual(['items.length']);
    expect(paths(diff(a, { items: [{ n: null }, { n: 1 }] }))).toEqual([
      'items.length',
      'items.*.n',
    ]);
    expect(paths(diff(a, { items: [{}, {}] }))).toEqual(['items.length', 'items.*.n']);
    expect(
      paths(
        diff(a, {
          items: [
            { n: 1, x: 1 },
            { n: 1, x: 1 },
          ],
        }),
      ),
    ).toEqual(['items.length', 'items.*.x']);
  });

  test('a path full of differences does not hide the others', () => {
    const many = (change: object): object => ({
      items: Array.from({ length: 5_000 }, (_, nth) => ({ token: nth, ...change })),
      total: 1,
      ...change,
    });
    const found = diff(many({ t: 1 }), many({ t: 2 }));
    expect(new Set(paths(found))).toEqual(new Set(['items.*.t', 't']));
    expect(found.length).toBeLessThan(50);
  });

  test('objects by generated keys are grouped like arrays', () => {
    const a = { byId: { '17': { price: 1 }, '18': { price: 2 } } };
    expect(diff(a, { byId: { '17': { price: 1 }, '18': { price: 3 } } })).toMatchObject([
      { path: 'byId.*.price', at: 'byId.18.price' },
    ]);
  });
});

describe('what a candidate may not do', () => {
  test('inherited names are no members', () => {
    expect(paths(diff('{"constructor":1,"__proto__":2}', '{}'))).toEqual([
      'constructor',
      '__proto__',
    ]);
    expect(paths(diff('{}', '{"toString":null}'))).toEqual(['toString']);
  });

  test('a value nested without end is a difference, not a crash', () => {
    const deep = (depth: number, leaf: string): string =>
      '['.repeat(depth) + leaf + ']'.repeat(depth);
    expect(diff(deep(150, '1'), deep(150, '2'))).toHaveLength(1);
    expect(diff(deep(100_000, '1'), deep(100_000, '2'))).toHaveLength(1);
    expect(diff('1', deep(100_000, '1'))).toHaveLength(1);
  });

  test('numbers beyond a double differ when they do', () => {
    expect(diff('[1e400]', '[1e500]')).toHaveLength(1);
    expect(diff('[1e400]', '[10e399]')).toEqual([]);
    expect(diff('[1e-400]', '[0]')).toHaveLength(1);
    expect(diff('[-0]', '[0.0]')).toEqual([]);
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
        const found = diff(JSON.stringify(value), JSON.stringify(changed));
        expect(paths(found)).toEqual([pathOf(value, leaf)]);
        // A key with a dot in it cannot be written as a path.
        if (leaf.some((key) => key.includes('.'))) return;
        const ignore = [leaf.join('.') || '$'];
        expect(diff(JSON.stringify(value), JSON.stringify(changed), { ignore })).toEqual([]);
      }),
    );
  });

  test('whether anything is found does not depend on the side', () => {
    const rules = {
      ignore: ['*.a', 'b'],
      unordered: ['*', 'items.*.tags'],
      tolerance: { '*.n': 1 },
    };
    const small = fc.jsonValue({
      maxDepth: 3,
      noUnicodeString: true,
      stringUnit: fc.constantFrom('a', 'n', 'b'),
    });
    fc.assert(
      fc.property(small, small, (a, b) => {
        for (const given of [{}, rules]) {
          const [one, other] = [diff(a, b, given), diff(b, a, given)];
          expect(one.length === 0).toBe(other.length === 0);
          expect(diff(a, a, given)).toEqual([]);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('numbers within the tolerance are equal, those beyond it are not', () => {
    const cents = fc.integer({ min: -1_000_000, max: 1_000_000 });
    fc.assert(
      fc.property(cents, fc.integer({ min: -5, max: 5 }), fc.boolean(), (price, off, asText) => {
        const written = (given: number): unknown =>
          asText ? (given / 100).toFixed(2) : given / 100;
        const [a, b] = [
          { items: [{ price: written(price) }] },
          { items: [{ price: written(price + off) }] },
        ];
        const found = diff(a, b, { tolerance: { 'items.*.price': 0.02 } });
        expect(paths(found)).toEqual(Math.abs(off) <= 2 ? [] : ['items.*.price']);
      }),
    );
  });

  test('numbers are equal exactly when their decimals are, also where doubles are not told apart', () => {
    const digits = fc.bigInt({ min: 9_007_199_254_740_980n, max: 9_007_199_254_741_000n });
    const written = (value: bigint, style: number): string => {
      if (style === 0) return value.toString();
      if (style === 1) return `${value}.000`;
      if (style === 2) return `${value}00e-2`;
      return `0.${value}e16`;
    };
    const style = fc.nat({ max: 3 });
    fc.assert(
      fc.property(digits, digits, style, style, (a, b, one, other) => {
        const found = diff(
          `{"id":${written(a, one)},"x":1}`,
          `{"x":1, "id": ${written(b, other)}}`,
        );
        expect(found.length === 0).toBe(a === b);
      }),
      { numRuns: 1_000 },
    );
    expect(diff('[0.1]', '[0.10000000000000000555]')).toHaveLength(1);
    expect(diff('["3e4567",0.1]', '["3e4567",0.10]')).toEqual([]);
  });

  test('an unordered array is equal exactly when it has the same elements as often', () => {
    const few = fc.array(fc.constantFrom('a', 'b', 'c', 1, 2), { maxLength: 5 });
    const bag = (items: readonly unknown[]): string =>
      JSON.stringify(items.map((one) => JSON.stringify(one)).sort());
    fc.assert(
      fc.property(few, few, (a, b) => {
        const found = diff({ items: a }, { items: b }, { unordered: ['items'] });
        expect(found.length === 0).toBe(bag(a) === bag(b));
      }),
      { numRuns: 1_000 },
    );
  });

  test('another order of elements is told as that and as nothing else', () => {
    const items = fc.uniqueArray(fc.record({ id: fc.nat(), name: fc.string() }), {
      selector: (one) => one.id,
      minLength: 2,
    });
    fc.assert(
      fc.property(items, (given) => {
        const found = diff({ items: given }, { items: [...given.slice(1), given[0]] });
        expect(paths(found)).toEqual(['items.order']);
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

/** The path of a leaf as reports group it. */
function pathOf(value: unknown, leaf: string[]): string {
  let at = value;
  const parts = leaf.map((key) => {
    const isFolded = Array.isArray(at) || /^(\d+|[\da-f]{16,})$/i.test(key);
    at = (at as Record<string, unknown>)[key];
    return isFolded ? '*' : key;
  });
  return parts.join('.') || '$';
}

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
