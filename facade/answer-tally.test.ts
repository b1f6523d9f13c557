import { expect, test } from '@jest/globals';
import type { AnswerCounts } from '../control/answers.ts';
import { defineMigration } from '../control/define.ts';
import { initialState, type CapabilityState } from '../control/domain/state.ts';
import { bucketOf } from '../control/domain/latencies.ts';
import { AnswerTally } from './answer-tally.ts';
import { compileRoutes, type Match } from './domain/routes.ts';
import { UNFORWARDED, type Ended } from './ended.ts';

const ROUTES = compileRoutes(
  defineMigration({
    monolith: { upstream: 'http://m' },
    services: { catalog: { upstream: 'http://s' } },
    capabilities: { catalog: { service: 'catalog', routes: ['/a', '/b'] } },
  }).capabilities,
);

function match(method: string, path: string): Match {
  const found = ROUTES.match(method, [path]);
  if (!found) throw new Error('no route');
  return found;
}

const GET = match('GET', 'a');
const ended = (more: Partial<Ended>): Ended => ({
  ...UNFORWARDED,
  ...{ match: GET, path: 'service', status: 200, ms: 10 },
  ...more,
});

function tallyIn(state: Partial<CapabilityState>): {
  tally: AnswerTally;
  sent: AnswerCounts[][];
  set: (change: Partial<CapabilityState>) => void;
  fail: (fails: boolean) => void;
} {
  let now = { ...initialState('catalog'), ...state };
  let fails = false;
  const sent: AnswerCounts[][] = [];
  const tally = new AnswerTally({
    evidence: {
      addAnswers: (counts) => {
        if (fails) return Promise.reject(new Error('away'));
        sent.push([...counts]);
        return Promise.resolve();
      },
    },
    stateOf: () => now,
    log: { warn: () => undefined } as never,
  });
  return {
    tally,
    sent,
    set: (change) => (now = { ...now, ...change }),
    fail: (given) => (fails = given),
  };
}

test('an answer counts by route and path; 5xx is a failure, 4xx is an answer', async () => {
  const { tally, sent } = tallyIn({ phase: 'canary', version: 7 });
  for (const status of [200, 404, 500, 503]) tally.count(ended({ status }));
  tally.count(ended({ path: 'monolith', match: match('POST', 'b') }));
  await tally.flush();
  expect(
    sent[0]?.map(({ latencies, ...one }) => ({ ...one, timed: latencies.length > 0 })),
  ).toEqual([
    {
      ...{ capability: 'catalog', version: 7, route: 'GET /a', kind: 'read', path: 'service' },
      ...{ answered: 4, failed: 2, timed: true },
    },
    {
      ...{ capability: 'catalog', version: 7, route: 'POST /b', kind: 'write', path: 'monolith' },
      ...{ answered: 1, failed: 0, timed: true },
    },
  ]);
});

test('where the other path stood in, the one that was asked first has failed', async () => {
  const { tally, sent } = tallyIn({ phase: 'canary', version: 1 });
  tally.count(ended({ path: 'monolith', fellBack: true }));
  await tally.flush();
  expect(sent[0]).toMatchObject([{ path: 'service', answered: 1, failed: 1 }]);
});

test('who gave up waiting is no failure, but tells how long it took at least', async () => {
  const { tally, sent } = tallyIn({ phase: 'canary' });
  tally.count(ended({ status: 499, ms: 10_000 }));
  tally.count(ended({ path: 'none', status: 499, ms: 10_000 }));
  await tally.flush();
  expect(sent[0]).toMatchObject([{ path: 'service', answered: 1, failed: 0 }]);
  expect(sent[0]?.[0]?.latencies[bucketOf(10_000)]).toBe(1);
});

test('what the edge held back itself is no time of the path', async () => {
  const { tally, sent } = tallyIn({ phase: 'canary' });
  tally.count(ended({ ms: 2_010 }), 2_000);
  await tally.flush();
  expect(sent[0]?.[0]?.latencies[bucketOf(10)]).toBe(1);
});

test('what was refused, what was upgraded and what is not divided yet does not count', async () => {
  const { tally, sent, set } = tallyIn({ phase: 'canary' });
  tally.count(ended({ path: 'none', status: 503 }));
  tally.count(ended({ status: 101 }));
  tally.count(ended({ match: undefined }));
  // Half a request is no question.
  tally.count(ended({ status: 408, why: 'body-late' }));
  set({ phase: 'sync' });
  tally.count(ended({ path: 'monolith' }));
  await tally.flush();
  expect(sent).toEqual([]);
});

test('each version of the state has figures of its own, and none is lost while the database is away', async () => {
  const { tally, sent, set, fail } = tallyIn({ phase: 'canary', version: 1 });
  fail(true);
  tally.count(ended({}));
  set({ version: 2 });
  tally.count(ended({ status: 502 }));
  await tally.flush();
  fail(false);
  tally.count(ended({}));
  await tally.flush(Infinity);
  expect(sent[0]).toMatchObject([
    { version: 1, answered: 1, failed: 0 },
    { version: 2, answered: 1, failed: 1 },
    { version: 2, answered: 1, failed: 0 },
  ]);
});

test('all replicas add to the same rows: each does so once a second', async () => {
  const { tally, sent } = tallyIn({ phase: 'canary' });
  for (const ms of [0, 250, 999, 1_000, 1_999]) {
    tally.count(ended({}));
    await tally.flush(ms);
  }
  expect(sent.map(([one]) => one?.answered)).toEqual([1, 3]);
});
