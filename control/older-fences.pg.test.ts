// Fences in databases whose schema an older version has made, and whose flows do not start: they are mended, and
// the schema is brought up to date all the same.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createLogger } from '../core/log.ts';
import { supervise, waitFor } from '../core/lifecycle.ts';
import { migrationsFolder } from '../core/postgres/migrate.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import { advanceTo } from '../test/support/sync.ts';
import { caretakerPart } from './caretaker.ts';

const NEWEST = '0012_entered';

let pair: Pair;

beforeEach(async () => {
  pair = await createPair();
  await advanceTo(pair, 'sync');
  const file = path.join(migrationsFolder('participant'), `${NEWEST}.sql`);
  const [, down = ''] = (await readFile(file, 'utf8')).split('-- Down Migration');
  for (const side of [pair.monolith, pair.service])
    await side.query(`${down}; DELETE FROM banyan.pgmigrations WHERE name = '${NEWEST}'`);
  await pair.service.query('ALTER TABLE product DISABLE TRIGGER banyan_fence_insert');
});

afterEach(() => pair.close());

test('a trigger that somebody has disabled stands again', async () => {
  const mended = await pair.coordinator().mendFences('catalog');
  expect(mended.flatMap(({ restored }) => restored)).toEqual(['public.product']);
});

test('the caretaker brings the schema up to date, also where that fails at first', async () => {
  const coordinator = pair.coordinator();
  let tries = 0;
  const unlucky = {
    recover: (id: string) => coordinator.recover(id),
    tidy: (id: string) => coordinator.tidy(id),
    mendFences: (id: string) => coordinator.mendFences(id),
    keepUpToDate: (id: string) =>
      (tries += 1) === 1
        ? Promise.reject(new Error('no login for a moment'))
        : coordinator.keepUpToDate(id),
  } as never;
  const stop = new AbortController();
  const log = createLogger({}, 'silent');
  const caretaker = supervise(
    [
      caretakerPart({
        ...{ coordinator: unlucky, store: pair.store, capabilities: ['catalog'], log },
        fencesMs: 100,
      }),
    ],
    stop.signal,
  );
  try {
    for (const side of [pair.monolith, pair.service])
      await waitFor(
        async () => {
          const { rows } = await side.query<{ name: string }>(
            'SELECT name FROM banyan.pgmigrations',
          );
          return rows.some(({ name }) => name === NEWEST);
        },
        { timeoutMs: 30_000, what: 'the newest schema' },
      );
    expect(tries).toBe(2);
  } finally {
    stop.abort();
    await caretaker;
  }
});
