import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Knex } from 'knex';
import { createControl, type TestDatabase } from '../test/support/postgres.ts';
import type { AnswerCounts } from './answers.ts';
import { bucketOf, LATENCY_BUCKETS } from './domain/latencies.ts';
import { Evidence } from './evidence.ts';
import { openControl, StateStore } from './store.ts';

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
  const found = await evidence.answers('catalog', { from: 6, reads: true });
  expect(found.service).toMatchObject({ answered: 9, failed: 5 });
  expect(found.service.worst).toEqual({ route: 'GET /b', answered: 3, failed: 3 });
  expect(found.service.latencies[bucketOf(10)]).toBe(9);
  expect(found.monolith).toMatchObject({ answered: 3, failed: 0 });
  expect(found.monolith.worst).toBeUndefined();
  expect((await evidence.answers('catalog', { from: 0, reads: false })).service.answered).toBe(15);
  expect(
    (await evidence.answers('catalog', { from: 0, before: 6, reads: true })).service.answered,
  ).toBe(3);
});

test('a phase is judged by what was counted since it began, whatever is reported late', async () => {
  const store = new StateStore(control);
  const entry = { who: 'test', event: 'advance', why: '', evidence: {} };
  const shadow = await store.change(await store.readOne('catalog'), { phase: 'shadow' }, entry);
  const canary = await store.change(shadow, { phase: 'canary' }, entry);
  const raised = await store.change(canary, { weight: 5 }, entry);
  await evidence.addAnswers([
    counts(shadow.version),
    counts(canary.version),
    counts(raised.version),
  ]);
  expect((await evidence.answersOfPhase('catalog', true)).service.answered).toBe(6);
});
