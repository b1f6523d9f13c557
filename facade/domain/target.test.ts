import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseTarget } from './target.ts';

const segmentsOf = (raw: string): readonly string[] | string => {
  const parsed = parseTarget(raw);
  return parsed.kind === 'target' ? parsed.segments : parsed.why;
};

describe('the rule for request targets', () => {
  test.each([
    ['/', []],
    ['/api/products', ['api', 'products']],
    ['/api/products/', ['api', 'products']],
    ['/api/%70roducts', ['api', 'products']],
    ['/API/Products', ['api', 'products']],
    ['/api/products;jsessionid=1/5', ['api', 'products', '5']],
    ['/a/caf%C3%A9', ['a', 'café']],
    ['/a/caf\u00c3\u00a9', ['a', 'café']],
    ['/a/caf%E9', ['a', 'café']],
    ['/a/%2570', ['a', '%70']],
    ['/a/...', ['a', '...']],
    ['/a?b=/../c//d', ['a']],
    ['/?a', []],
  ])('reads %s', (raw, segments) => {
    expect(segmentsOf(raw)).toEqual(segments);
  });

  test.each([
    'http://evil/api',
    'evil:80',
    '*',
    '',
    '//api',
    '/api//products',
    '/api/products//',
    '/api/../admin',
    '/api/%2e%2E/admin',
    '/api/.%2e/admin',
    '/api/./products',
    '/api/..;x=1/admin',
    '/;x/api',
    '/api%2fproducts',
    '/api%5Cproducts',
    '/api\\products',
    '/api/a%00b',
    '/api/a%0d%0ab',
    '/api/a%7f',
    '/api/a\u0001b',
    '/api/a b',
    '/api/a?b c',
    '/api/a#b',
    '/api/a?b#c',
    '/api/%zz',
    '/api/%2',
    '/api/%',
    '/api/\u0101',
    '/api/products;a=%2f',
  ])('refuses %s', (raw) => {
    expect(parseTarget(raw).kind).toBe('refused');
  });

  test('forwards exactly what it has matched, query included', () => {
    const raw = '/api/%70roducts/?q=%2F..&x';
    expect(parseTarget(raw)).toMatchObject({ raw, query: 'q=%2F..&x' });
  });

  test('never takes a path for another by its encoding', () => {
    const segment = fc.stringMatching(/^[a-z0-9~!$&'()*+,=:@-]{1,8}$/);
    const encode = (text: string, mask: readonly boolean[]): string =>
      Array.from(text)
        .map((char, at) =>
          mask[at] === true ? `%${char.charCodeAt(0).toString(16).padStart(2, '0')}` : char,
        )
        .join('');
    fc.assert(
      fc.property(
        fc.array(fc.tuple(segment, fc.array(fc.boolean(), { maxLength: 8 })), { minLength: 1 }),
        fc.boolean(),
        (parts, slash) => {
          const raw = `/${parts.map(([text, mask]) => encode(text, mask)).join('/')}${slash ? '/' : ''}`;
          expect(segmentsOf(raw)).toEqual(parts.map(([text]) => text));
        },
      ),
    );
  });

  test('never throws, and no segment it gives is empty or a dot segment', () => {
    const piece = fc.constantFrom(
      '/',
      '.',
      '%2e',
      '%2f',
      ';',
      'a',
      '%',
      '%41',
      'é',
      '\\',
      '?',
      '#',
    );
    fc.assert(
      fc.property(fc.array(piece), (pieces) => {
        const parsed = parseTarget(`/${pieces.join('')}`);
        if (parsed.kind === 'target')
          for (const value of parsed.segments) expect(['', '.', '..']).not.toContain(value);
      }),
      { numRuns: 2_000 },
    );
  });
});
