import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { defineMigration } from '../../control/define.ts';
import type { MigrationInput } from '../../control/definition.ts';
import { compileRoutes, type Routes } from './routes.ts';
import { parseTarget } from './target.ts';

type RouteInput = MigrationInput['capabilities'][string]['routes'][number];

function routesOf(capabilities: Record<string, RouteInput[]>): Routes {
  return compileRoutes(
    defineMigration({
      monolith: { upstream: 'http://m' },
      services: { s: { upstream: 'http://s' } },
      capabilities: Object.fromEntries(
        Object.entries(capabilities).map(([name, routes]) => [name, { service: 's', routes }]),
      ),
    }).capabilities,
  );
}

function labelOf(routes: Routes, method: string, raw: string): string | undefined {
  const target = parseTarget(raw);
  return target.kind === 'target' ? routes.match(method, target.segments)?.label : undefined;
}

describe('routes', () => {
  const routes = routesOf({
    catalog: [
      '/api/products',
      '/api/products/:id',
      { path: '/api/products/search', methods: ['POST'], kind: 'read' },
      { path: '/api/products/:id/views', methods: ['GET'], kind: 'write' },
    ],
    media: ['/api/products/:id/images/**', '/media/**'],
    reports: [{ path: '/api/**', methods: ['GET'] }],
  });

  test.each([
    ['GET', '/api/products', 'GET /api/products'],
    ['GET', '/api/products/', 'GET /api/products'],
    ['GET', '/api/%70roducts?x=1', 'GET /api/products'],
    ['DELETE', '/api/products/17', 'DELETE /api/products/:id'],
    ['POST', '/api/products/search', 'POST /api/products/search'],
    ['GET', '/api/products/search', 'GET /api/products/:id'],
    ['GET', '/api/products/1/images', 'GET /api/products/:id/images/**'],
    ['GET', '/api/products/1/images/a/b', 'GET /api/products/:id/images/**'],
    ['GET', '/api/orders', 'GET /api/**'],
    ['HEAD', '/api/orders', 'HEAD /api/**'],
    ['POST', '/api/orders', undefined],
    ['GET', '/media', 'GET /media/**'],
    ['GET', '/mediation', undefined],
    ['GET', '/', undefined],
    ['PROPFIND', '/media/x', 'OTHER /media/**'],
  ])('%s %s is claimed by %s', (method, raw, label) => {
    expect(labelOf(routes, method, raw)).toBe(label);
  });

  test('a method says read or write, unless the route does', () => {
    const kind = (method: string, segments: string[]): string | undefined =>
      routes.match(method, segments)?.kind;
    expect(kind('GET', ['api', 'products'])).toBe('read');
    expect(kind('HEAD', ['api', 'products'])).toBe('read');
    expect(kind('OPTIONS', ['api', 'products'])).toBe('read');
    expect(kind('PUT', ['api', 'products'])).toBe('write');
    expect(kind('PURGE', ['api', 'products'])).toBe('write');
    expect(kind('POST', ['api', 'products', 'search'])).toBe('read');
    expect(kind('GET', ['api', 'products', '1', 'views'])).toBe('write');
  });

  test('at the same path, a route that names the method wins over one that names none', () => {
    const both = routesOf({ all: ['/x'], posts: [{ path: '/x', methods: ['POST'] }] });
    expect(both.match('POST', ['x'])?.capability).toBe('posts');
    expect(both.match('GET', ['x'])?.capability).toBe('all');
  });

  test('a match is the same object each time, so that it can be a label', () => {
    expect(routes.match('GET', ['media', 'a'])).toBe(routes.match('GET', ['media', 'b']));
  });

  test('routes that cannot be told apart are refused, each named', () => {
    expect(() =>
      routesOf({ a: ['/x/:one', '/y'], b: ['/x/:two', { path: '/Y/', methods: ['GET'] }] }),
    ).toThrow(/\* \/x\/:two of "b" cannot be told from \/x\/:one of "a"/);
  });

  test.each(['/a/**/b', '/a//b', '/a/../b', '/a/x*', '/a/:', '/a?b', '/a/%2f'])(
    'refuses the path %s',
    (path) => {
      expect(() => routesOf({ a: [path] })).toThrow(/capabilities.a.routes.0/);
    },
  );

  test('agrees with a naive matcher on any set of routes', () => {
    const part = fc.constantFrom('a', 'b', ':x');
    const path = fc
      .tuple(fc.array(part, { maxLength: 3 }), fc.boolean())
      .map(([parts, rest]) => [...parts, ...(rest ? ['**'] : [])]);
    const methods = fc.constantFrom<Method[] | undefined>(
      undefined,
      ['GET'],
      ['POST'],
      ['GET', 'HEAD'],
    );
    const route = fc.tuple(path, methods);
    fc.assert(
      fc.property(
        fc.uniqueArray(route, {
          minLength: 1,
          maxLength: 8,
          selector: ([parts, given]) => `${parts.join('/')} ${String(given !== undefined)}`,
        }),
        fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 4 }),
        fc.constantFrom('GET', 'HEAD', 'POST', 'PUT'),
        (given, segments, method) => {
          const compiled = routesOf({
            one: given.map(([parts, named]) => ({
              path: `/${parts.join('/')}`,
              ...(named ? { methods: named } : {}),
            })),
          });
          const expected = naive(given, segments, method);
          expect(compiled.match(method, segments)?.label).toBe(
            expected && `${method} /${expected.join('/')}`,
          );
        },
      ),
      { numRuns: 1_000 },
    );
  });
});

type Method = 'GET' | 'HEAD' | 'POST';
type Given = [string[], Method[] | undefined];

/** Every route that fits, the most specific first: that is the definition. */
function naive(
  routes: readonly Given[],
  segments: readonly string[],
  method: string,
): string[] | undefined {
  const fits = ([parts, methods]: Given): boolean => {
    const rest = parts.at(-1) === '**';
    const fixed = rest ? parts.slice(0, -1) : parts;
    if (rest ? segments.length < fixed.length : segments.length !== fixed.length) return false;
    const named =
      methods === undefined ||
      (methods as string[]).includes(method) ||
      (method === 'HEAD' && methods.includes('GET'));
    return named && fixed.every((part, at) => part === ':x' || part === segments[at]);
  };
  // At the first place where two differ: literal, then parameter, then the end, then `**`.
  const rank = ([parts, methods]: Given): string =>
    [...parts, 'end'].map((part) => ({ ':x': '1', end: '2', '**': '3' })[part] ?? '0').join('') +
    (methods ? '0' : '1');
  return routes.filter(fits).sort((a, b) => (rank(a) < rank(b) ? -1 : 1))[0]?.[0];
}
