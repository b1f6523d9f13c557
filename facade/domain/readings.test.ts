// The law of the target rule: whoever reads what was forwarded, in whatever way, finds it where its
// claim says. The readers here are others' code, or written after others' documentation, and know
// nothing of readings.ts.
import { posix } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { defineMigration } from '../../control/define.ts';
import { compileRoutes } from './routes.ts';
import { parseTarget, settle } from './target.ts';

const { capabilities } = defineMigration({
  monolith: { upstream: 'http://m' },
  services: { s: { upstream: 'http://s' } },
  capabilities: {
    catalog: { service: 's', routes: ['/api/products', '/api/products/:id'] },
    orders: { service: 's', routes: ['/orders/**'] },
  },
});
const routes = compileRoutes(capabilities);

type Reader = (path: string) => string;

const unescape = (path: string): string =>
  path.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
const normalise = (path: string): string => posix.normalize(`/${path}`);
const url: Reader = (path) => URL.parse(path, 'http://host')?.pathname ?? '/';
const params: Reader = (path) => path.replace(/;[^/]*/g, '');
const merged: Reader = (path) => path.replace(/\/+/g, '/');

/** nginx: decodes once, merges slashes and resolves dots in one pass, then cuts at NUL or `?`. */
const nginx: Reader = (path) => {
  const out: string[] = [];
  for (const segment of unescape(path).split(/\/+/))
    if (segment === '..') out.pop();
    else if (segment !== '.' && segment !== '') out.push(segment);
  return `/${out.join('/')}`;
};

const READERS: Record<string, Reader> = {
  'a URL parser': url,
  'a URL parser, then decoding': (path) => unescape(url(path)),
  'decoding, then a URL parser': (path) => url(unescape(path)),
  'path.normalize': (path) => normalise(path),
  'decoding, then path.normalize': (path) => normalise(unescape(path)),
  'decoding twice, then path.normalize': (path) => normalise(unescape(unescape(path))),
  'path.normalize, then decoding twice': (path) => unescape(unescape(normalise(path))),
  merge_slashes: merged,
  nginx,
  'nginx in front of a decoder': (path) => normalise(unescape(nginx(path))),
  'nginx in front of a URL parser': (path) => url(nginx(path)),
  Tomcat: (path) => normalise(unescape(params(path))),
  'Tomcat behind nginx': (path) => normalise(unescape(params(nginx(path)))),
  IIS: (path) => normalise(unescape(unescape(path)).replaceAll('\\', '/')),
  'a reader in C': (path) => normalise(unescape(path).replace(/\0.*$/s, '')),
  'a file system': (path) => normalise(unescape(path)).replace(/[. ]+(?=\/|$)/g, ''),
};

/** How a router takes apart what a reader gives it: to the letter, else as every claim is meant. */
function claimed(path: string): string {
  const segments = path.toLowerCase().split(/[?#]/, 1)[0]?.split('/').slice(1) ?? [];
  if (segments.at(-1) === '') segments.pop();
  const loosely = segments.map((segment) => unescape(params(segment)));
  const match = routes.match('GET', segments) ?? routes.match('GET', loosely);
  return match?.capability ?? 'nobody';
}

const PIECES = [
  ...[
    '/',
    '/',
    '/',
    '//',
    '.',
    '..',
    '/./',
    '/../',
    '%2e',
    '%2E%2e',
    '%252e',
    '%2f',
    '%2F',
    '%5c',
    '\\',
  ],
  ...[
    '%252f',
    '%25',
    '%',
    ';',
    ';x',
    ';x=1',
    '%3b',
    '%00',
    '%23',
    '%3f',
    '#',
    '%0a',
    '%20',
    '.',
    'a',
    'x',
  ],
  ...[
    'api',
    'API',
    '%61pi',
    'products',
    '%70roducts',
    '%2570roducts',
    'orders',
    'orders/',
    '/api/products',
  ],
  ...[
    '/api/products/1',
    '/orders/1',
    'api%2fproducts',
    '..%2f',
    '..;/',
    '/x/../api/products',
    '//x/orders',
  ],
];

describe('no reader finds a claimed route behind a target that', () => {
  const targets = fc
    .array(fc.constantFrom(...PIECES), { maxLength: 12 })
    .map((pieces) => `/${pieces.join('')}`);

  test('is forwarded otherwise, whichever of them reads it', () => {
    fc.assert(
      fc.property(targets, (raw) => {
        const target = parseTarget(raw);
        if (target.kind === 'refused') return;
        const settled = settle(target, (segments) => routes.match('GET', segments));
        if (settled.kind === 'refused') return;
        const ours = routes.match('GET', settled.segments)?.capability ?? 'nobody';
        for (const [name, reader] of Object.entries(READERS)) {
          const theirs = claimed(reader(raw));
          // The monolith may find less than was claimed; where the service may get it, all agree.
          if (theirs !== ours && (settled.certain || theirs !== 'nobody'))
            throw new Error(`${raw} is a route of ${ours}, and of ${theirs} for ${name}`);
        }
      }),
      { numRuns: 10_000 },
    );
  });

  test('is not refused for nothing: most are forwarded, and some of each kind occur', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(targets, (raw) => {
        const target = parseTarget(raw);
        const settled =
          target.kind === 'refused'
            ? target
            : settle(target, (segments) => routes.match('GET', segments));
        seen.add(
          settled.kind === 'refused' ? 'refused' : settled.certain ? 'certain' : 'uncertain',
        );
      }),
      { numRuns: 3_000 },
    );
    expect([...seen].sort()).toEqual(['certain', 'refused', 'uncertain']);
  });
});
