import { describe, expect, test } from '@jest/globals';
import { parseTarget, settle, type Claim, type Settled } from './target.ts';

const segmentsOf = (raw: string): readonly string[] | string => {
  const parsed = parseTarget(raw);
  return parsed.kind === 'target' ? parsed.segments : parsed.why;
};

const CATALOG: Claim = { capability: 'catalog', kind: 'read' };

/** `/api/products` and `/api/products/:id` are claimed by one, `/orders` by another. */
function claim(segments: readonly string[]): Claim | undefined {
  if (segments.length === 1 && segments[0] === 'orders')
    return { capability: 'orders', kind: 'read' };
  return segments[0] === 'api' && segments[1] === 'products' && segments.length <= 3
    ? CATALOG
    : undefined;
}

function settled(raw: string): Settled | 'refused' {
  const target = parseTarget(raw);
  if (target.kind === 'refused') return 'refused';
  const found = settle(target, claim);
  return found.kind === 'refused' ? 'refused' : found;
}

describe('the plainest reading of a target', () => {
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
    ['/a/100%', ['a', '100%']],
    ['/a/...', ['a', '...']],
    ['/a//b', ['a', '', 'b']],
    ['/a%2fb', ['a/b']],
    ['/a?b=/../c//d', ['a']],
    ['/?a', []],
  ])('of %s', (raw, segments) => {
    expect(segmentsOf(raw)).toEqual(segments);
  });

  test('what is forwarded is what was read, query included', () => {
    const raw = '/api/%70roducts/?q=%2F..&x';
    expect(parseTarget(raw)).toMatchObject({ raw, query: 'q=%2F..&x' });
  });

  test.each(['', '*', 'evil:80', 'a', '/a\u0001b', '/a b', '/a?b c', '/a\u007f', '/\u0101'])(
    'there is none of %j',
    (raw) => {
      expect(parseTarget(raw).kind).toBe('refused');
    },
  );
});

describe('the absolute form', () => {
  test.each([
    ['http://shop/a?b', 'shop', '/a?b'],
    ['HTTP://Shop:80/a', 'shop', '/a'],
    ['https://shop/a', 'shop:443', '/a'],
    ['http://shop:8080', 'shop:8080', '/'],
    ['http://shop?a', 'shop', '/?a'],
  ])('%s for the host %s is %s', (raw, host, expected) => {
    expect(parseTarget(raw, host)).toMatchObject({ kind: 'target', raw: expected });
  });

  test.each([
    ['http://evil/a', 'shop'],
    ['http://shop:81/a', 'shop'],
    ['http://u@shop/a', 'shop'],
    ['http:///a', ''],
    ['http://shop/a', undefined],
    ['ftp://shop/a', 'shop'],
  ])('%s for the host %s is refused', (raw, host) => {
    expect(parseTarget(raw, host).kind).toBe('refused');
  });
});

describe('a target that can be read in several ways', () => {
  test('goes to the monolith when no reading is claimed', () => {
    for (const raw of ['/files/a%2Fb', '/redirect//https://x', '/a/../b', '/a%00', '/a/%zz'])
      expect(settled(raw)).toMatchObject({ certain: true, segments: parse(raw) });
  });

  test('goes where its claim says when all readings share it', () => {
    for (const raw of ['/api/products/', '/api/products//', '/api/products/a%20b'])
      expect(settled(raw)).toMatchObject({ certain: true });
  });

  test('is uncertain when some readings are claimed', () => {
    for (const raw of [
      '//api/products',
      '/api//products',
      '/api/products/a%2Fb',
      '/x/../api/products',
    ])
      expect(settled(raw)).toMatchObject({ certain: false });
    expect(settled('//api/products')).toMatchObject({ segments: ['api', 'products'] });
  });

  test('is refused when readings are claimed by different capabilities', () => {
    expect(settled('/api/products/..%2f..%2f..%2forders')).toBe('refused');
    expect(settled('/orders?/../api/products')).toMatchObject({ certain: true });
  });

  test('is refused, quickly, when there are too many readings', () => {
    expect(settled(`/%${'25'.repeat(4_000)}2e`)).toBe('refused');
    expect(settled(`/${';%2f\\..//'.repeat(1_500)}`)).toBe('refused');
  });
});

function parse(raw: string): readonly string[] {
  const target = parseTarget(raw);
  return target.kind === 'target' ? target.segments : [];
}
