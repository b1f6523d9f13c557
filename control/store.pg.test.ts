// What a process that stands still in the middle of a change of the state keeps from its successor.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Knex } from 'knex';
import { waitFor } from '../core/lifecycle.ts';
import { createControl, type TestDatabase } from '../test/support/postgres.ts';
import { openControl, StateStore } from './store.ts';

let database: TestDatabase;
let stopped: Knex;
let successor: Knex;

beforeEach(async () => {
  database = await createControl();
  stopped = openControl(database.url);
  successor = openControl(database.url);
});

afterEach(async () => {
  await stopped.destroy();
  await successor.destroy();
  await database.drop();
});

const ENTRY = { who: 'test', event: 'test', why: '', evidence: {} };

test('a change that is left lying is ended by the server, and whoever comes next makes its own', async () => {
  const store = new StateStore(successor);
  const before = await store.change(await store.readOne('catalog'), {}, ENTRY);
  const reached = Promise.withResolvers<undefined>();
  const sleeping = Promise.withResolvers<undefined>();
  const left = new StateStore(stopped)
    .change(before, { phase: 'sync' }, ENTRY, async (db) => {
      reached.resolve(undefined);
      await sleeping.promise;
      await db.raw('SELECT 1');
    })
    .catch((error: unknown) => error);
  await reached.promise;
  const row = `SELECT FROM banyan.capability WHERE capability = 'catalog' FOR UPDATE NOWAIT`;
  const isFree = (): Promise<boolean> =>
    successor.raw(row).then(
      () => true,
      () => false,
    );
  try {
    await waitFor(isFree, { timeoutMs: 30_000, everyMs: 200, what: 'the lock to be free' });
  } finally {
    sleeping.resolve(undefined);
  }
  expect(await left).toBeInstanceOf(Error);
  const after = await store.change(before, { phase: 'shadow' }, ENTRY);
  expect(await store.readOne('catalog')).toEqual(after);
});
