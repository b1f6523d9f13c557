import { expect, test } from '@jest/globals';
import { defineMigration } from '../control/define.ts';
import type { ShadowCounts, ShadowMismatch } from '../control/evidence.ts';
import { createLogger } from '../core/log.ts';
import { compileRoutes, type Match } from './domain/routes.ts';
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
    onOutcome: () => undefined,
    evidence: {
      addShadow: (counts, mismatches) => {
        if (fails()) return Promise.reject(new Error('down'));
        sent.push({ counts, mismatches });
        return Promise.resolve();
      },
    },
  });
}

const difference = (path: string, control: unknown): Parameters<Tally['mismatched']>[2][0] => ({
  path,
  at: path,
  control,
  candidate: 0,
});

test('figures gather by route, mismatches by route and path with an example', async () => {
  const sent: Sent[] = [];
  const tally = tallyTo(sent);
  const a = matchOf('/a');
  tally.matched(a);
  tally.dropped(a, 'busy');
  tally.mismatched(a, '/a?1', [difference('x', 1), difference('x', 2), difference('y', 3)]);
  tally.mismatched(a, '/a?2', [difference('x', 4)]);
  await tally.flush();
  await tally.flush();
  expect(sent).toHaveLength(1);
  expect(sent[0]?.counts).toEqual([
    { capability: 'catalog', route: 'GET /a', compared: 3, mismatched: 2, dropped: 1 },
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
  tally.mismatched(a, '/a', [difference('x', 1)]);
  await tally.flush();
  tally.mismatched(a, '/a', [difference('x', 1)]);
  down = false;
  await tally.flush();
  expect(sent[0]?.counts).toMatchObject([{ compared: 2, mismatched: 2 }]);
  expect(sent[0]?.mismatches).toMatchObject([{ path: 'x', count: 2 }]);
});

test('a long example is cut', async () => {
  const sent: Sent[] = [];
  const tally = tallyTo(sent);
  tally.mismatched(matchOf('/a'), '/a', [difference('x', 'y'.repeat(10_000))]);
  await tally.flush();
  expect(JSON.stringify(sent).length).toBeLessThan(1_000);
});
