import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Knex } from 'knex';
import { createControl, type TestDatabase } from '../test/support/postgres.ts';
import { answers, clearAnswers, usualAnswers, type AnswerCounts } from './answers.ts';
import { defineMigration } from './define.ts';
import type { Capability } from './definition.ts';
import { bucketOf, LATENCY_BUCKETS } from './domain/latencies.ts';
import { Evidence } from './evidence.ts';
import { openControl, StateStore } from './store.ts';

const CATALOG = defineMigration({
  monolith: { upstream: 'http://m' },
  services: { catalog: { upstream: 'http://s' } },
  capabilities: { catalog: { service: 'catalog', routes: ['/a'] } },
}).capabilities['catalog'] as Capability;

let database: TestDatabase;
let control: Knex;
let evidence: Evidence;

beforeEach(async () => {
  database = await createControl();
  control = openControl(database.url);
  evidence = new Evidence(control);
});

afterEach(async () => {
  await control.destroy();
  await database.drop();
});

function counts(version: number, more: Partial<AnswerCounts> = {}): AnswerCounts {
  const latencies = new Array<number>(LATENCY_BUCKETS).fill(0);
  latencies[bucketOf(10)] = 3;
  const about = { capability: 'catalog', route: 'GET /a', kind: 'read', path: 'service' } as const;
  return { ...about, version, answered: 3, failed: 1, latencies, ...more };
}

test('counts of all facades add up, by path, and by the versions that are asked for', async () => {
  await evidence.addAnswers([counts(5), counts(6), counts(6, { path: 'monolith', failed: 0 })]);
  await evidence.addAnswers([
    counts(6, { route: 'GET /b', failed: 3 }),
    counts(6, { kind: 'write' }),
  ]);
  await evidence.addAnswers([counts(6)]);
  const found = await answers(control, 'catalog', { from: 6, reads: true });
  expect(found.service).toMatchObject({ answered: 9, failed: 5 });
  expect(found.service.worst).toEqual({ route: 'GET /b', answered: 3, failed: 3 });
  expect(found.service.latencies[bucketOf(10)]).toBe(9);
  expect(found.monolith).toMatchObject({ answered: 3, failed: 0 });
  expect(found.monolith.worst).toBeUndefined();
  expect((await answers(control, 'catalog', { from: 0, reads: false })).service.answered).toBe(15);
  expect(
    (await answers(control, 'catalog', { from: 0, before: 6, reads: true })).service.answered,
  ).toBe(3);
});

test('a canary is judged by what was counted since it got a share, whatever is reported late', async () => {
  const store = new StateStore(control);
  const entry = { who: 'test', event: 'advance', why: '', evidence: {} };
  const shadow = await store.change(await store.readOne('catalog'), { phase: 'shadow' }, entry);
  const canary = await store.change(shadow, { phase: 'canary' }, entry);
  const first = await store.change(canary, { weight: 5 }, entry);
  const raised = await store.change(first, { weight: 25 }, entry);
  await evidence.addAnswers([
    counts(shadow.version),
    counts(canary.version),
    counts(first.version),
    counts(raised.version),
  ]);
  const judged = await evidence.judgedAnswers('catalog', CATALOG);
  expect(judged.answers.service.answered).toBe(6);
  expect(judged.answers.steps?.map(({ service }) => service.answered)).toEqual([3, 3]);
  expect(judged.watch).toBeUndefined();
});

test('what was kept while the database was away may hold one count twice', async () => {
  await evidence.addAnswers([counts(6), counts(6), counts(6, { kind: 'write' })]);
  const { service } = await answers(control, 'catalog', { from: 0, reads: false });
  expect(service.kinds.read).toMatchObject({ answered: 6, failed: 2 });
  expect(service.kinds.read.latencies[bucketOf(10)]).toBe(6);
  expect(service.kinds.write.answered).toBe(3);
});

test('replicas that add the same routes, and whoever clears them, never wait for each other in a ring', async () => {
  const routes = Array.from({ length: 30 }, (_, n) => `GET /${n % 2 === 0 ? 'Ä' : 'a'}${n}`);
  const rows = [1, 9, 10].flatMap((version) => routes.map((route) => counts(version, { route })));
  const backwards = [...rows].reverse();
  await Promise.all(
    Array.from({ length: 20 }, async (_, n) => {
      await evidence.addAnswers(n % 2 === 0 ? rows : backwards);
      if (n % 5 === 0) await clearAnswers(control, 'catalog', 10);
    }),
  );
  const { service } = await answers(control, 'catalog', { from: 10, reads: true });
  expect(service.answered).toBe(20 * 30 * 3);
});

test('what is usual is told by the newest steps that say enough, for reads and for writes', async () => {
  const usual = (version: number, answered: number, more: Partial<AnswerCounts> = {}) =>
    counts(version, { path: 'monolith', answered, failed: 0, ...more });
  await evidence.addAnswers([
    usual(1, 9_000, { failed: 9_000 }),
    usual(1, 40, { kind: 'write' }),
    usual(2, 4_000),
    usual(3, 3_000),
    usual(3, 3_000, { route: 'GET /b' }),
    usual(4, 100),
  ]);
  const { kinds } = await usualAnswers(control, 'catalog', 5, false);
  expect(kinds.read).toMatchObject({ answered: 6_100, failed: 0 });
  expect(kinds.write.answered).toBe(40);
  expect((await usualAnswers(control, 'catalog', 3, true)).answered).toBe(13_000);
});

test('of the steps before the present phase the newest are kept', async () => {
  await control('banyan.capability').insert({ capability: 'catalog', phase_version: 50 });
  await evidence.addAnswers(Array.from({ length: 60 }, (_, version) => counts(version)));
  await evidence.pruneAnswers('catalog');
  const left = await control<{ version: string }>('banyan.answer').orderBy('version');
  expect(left.map(({ version }) => Number(version))).toEqual(
    Array.from({ length: 30 }, (_, n) => 30 + n),
  );
});
