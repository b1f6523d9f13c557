import { expect, test } from '@jest/globals';
import { defineMigration } from '../control/define.ts';
import type { ShadowCounts, ShadowMismatch } from '../control/shadow-counts.ts';
import { createLogger } from '../core/log.ts';
import type { Difference } from './domain/compare.ts';
import { compileRoutes, type Match } from './domain/routes.ts';
import type { Verdict } from './domain/verdict.ts';
import { Tally } from './tally.ts';

function matchOf(path: string): Match {
  const { capabilities } = defineMigration({
    monolith: { upstream: 'http://m' },
    services: { s: { upstream: 'http://s' } },
    capabilities: { catalog: { service: 's', routes: [path] } },
  });
  const match = compileRoutes(capabilities).match('GET', path.split('/').slice(1));
  if (!match) throw new Error('no match');
  return match;
}

interface Sent {
  readonly counts: readonly ShadowCounts[];
  readonly mismatches: readonly ShadowMismatch[];
}

function tallyTo(sent: Sent[], fails: () => boolean = () => false): Tally {
  return new Tally({
    log: createLogger({}, 'silent'),
    evidence: {
      addShadow: (counts, mismatches) => {
        if (fails()) return Promise.reject(new Error('down'));
        sent.push({ counts, mismatches });
        return Promise.resolve();
      },
    },
  });
}

const difference = (path: string, control: unknown): Difference => ({
  path,
  at: path,
  control,
  candidate: 0,
});

function decide(tally: Tally, match: Match, url: string, verdict: Verdict, version = 1): void {
  tally.began(match);
  tally.decided(match, version, url, verdict);
}

const mismatch = (...differences: Difference[]): Verdict => ({
  kind: 'mismatched',
  differences,
  noise: 0,
});

test('figures gather by route, mismatches by route and path with an example', async () => {
  const sent: Sent[] = [];
  const tally = tallyTo(sent);
  const a = matchOf('/a');
  decide(tally, a, '/a', { kind: 'matched', noise: 2 });
  tally.refused(a, 1, 'busy');
  const three = [difference('x', 1), difference('x', 2), difference('y', 3)];
  decide(tally, a, '/a?1', mismatch(...three));
  decide(tally, a, '/a?2', mismatch(difference('x', 4)));
  await tally.flush();
  await tally.flush();
  expect(sent).toHaveLength(1);
  expect(sent[0]?.counts).toEqual([
    {
      capability: 'catalog',
      route: 'GET /a',
      version: 1,
      compared: 3,
      mismatched: 2,
      dropped: 1,
      undecided: 0,
      noise: 2,
    },
  ]);
  expect(sent[0]?.mismatches).toMatchObject([
    { route: 'GET /a', path: 'x', count: 2, example: { url: '/a?1', control: 2, candidate: 0 } },
    { route: 'GET /a', path: 'y', count: 1 },
  ]);
});

test('what could not be stored is kept and added to what comes after', async () => {
  const sent: Sent[] = [];
  let down = true;
  const tally = tallyTo(sent, () => down);
  const a = matchOf('/a');
  decide(tally, a, '/a', mismatch(difference('x', 1)));
  await tally.flush();
  decide(tally, a, '/a', mismatch(difference('x', 1)));
  down = false;
  await tally.flush();
  expect(sent[0]?.counts).toMatchObject([{ compared: 2, mismatched: 2 }]);
  expect(sent[0]?.mismatches).toMatchObject([{ path: 'x', count: 2 }]);
});

test('a long or deep example is cut', async () => {
  const sent: Sent[] = [];
  const tally = tallyTo(sent);
  decide(tally, matchOf('/a'), '/a', mismatch(difference('x', 'y'.repeat(10_000))));
  await tally.flush();
  const deep = JSON.parse('['.repeat(50_000) + ']'.repeat(50_000)) as unknown;
  decide(
    tally,
    matchOf('/a'),
    '/a',
    mismatch(difference('deep', [deep, { a: { b: { c: deep } } }])),
  );
  const wide = Array.from({ length: 10_000 }, () => ({ x: 'y'.repeat(100) }));
  decide(tally, matchOf('/a'), '/a', mismatch(difference('wide', wide)));
  await tally.flush();
  expect(sent.flatMap((one) => one.mismatches)).toHaveLength(3);
  expect(JSON.stringify(sent).length).toBeLessThan(3_000);
});

test('totals keep their identity at every step: what has begun is pending until it is decided', () => {
  const tally = tallyTo([]);
  const a = matchOf('/a');
  tally.began(a);
  tally.began(a);
  tally.refused(a, 1, 'cpu');
  expect(tally.totals().get('catalog')).toMatchObject({ pending: 2, matched: 0 });
  tally.decided(a, 1, '/a', { kind: 'matched', noise: 1 });
  tally.decided(a, 1, '/a', { kind: 'dropped', reason: 'in-flux', undecided: true });
  expect(tally.totals().get('catalog')).toEqual({
    pending: 0,
    matched: 1,
    mismatched: 0,
    undecided: 1,
    noise: 1,
    dropped: new Map([
      ['cpu', 1],
      ['in-flux', 1],
    ]),
  });
});

test('counts of two versions of the state are never added together', async () => {
  const sent: Sent[] = [];
  const tally = tallyTo(sent);
  const a = matchOf('/a');
  decide(tally, a, '/a', mismatch(difference('x', 1)), 4);
  decide(tally, a, '/a', mismatch(difference('x', 1)), 6);
  await tally.flush();
  expect(sent[0]?.counts.map((one) => [one.version, one.compared])).toEqual([
    [4, 1],
    [6, 1],
  ]);
  expect(sent[0]?.mismatches.map((one) => [one.version, one.count])).toEqual([
    [4, 1],
    [6, 1],
  ]);
});
