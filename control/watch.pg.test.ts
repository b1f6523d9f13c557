// States are followed by two means, and each by itself is enough.
import { afterAll, afterEach, beforeAll, test } from '@jest/globals';
import type { Knex } from 'knex';
import { createLogger } from '../core/log.ts';
import { startEmbedded, type EmbeddedPostgres } from '../core/postgres/embedded.ts';
import { eventually } from '../test/support/http.ts';
import { migrateControl, openControl, StateStore } from './store.ts';
import { watchStates } from './watch.ts';

let postgres: EmbeddedPostgres;
let url: string;
let control: Knex;
let over = new AbortController();
let watching: Promise<void> = Promise.resolve();

beforeAll(async () => {
  postgres = await startEmbedded({ fsync: false });
  url = await postgres.createDatabase('control');
  await migrateControl(url);
  control = openControl(url);
});

afterEach(async () => {
  over.abort();
  await watching;
});

afterAll(async () => {
  await control.destroy();
  await postgres.stop();
});

test.each([
  ['a notification', 600_000, () => url],
  // There is no such database: nothing is ever heard.
  ['looking again', 50, () => url.replace(/control$/, 'nowhere')],
])('%s tells of a change', async (_, pollMs, listenTo) => {
  const store = new StateStore(control);
  const seen: number[] = [];
  over = new AbortController();
  watching = watchStates(
    {
      ...{ url: listenTo(), store, capabilities: ['catalog'], pollMs },
      log: createLogger({}, 'silent'),
      onChange: (states) => {
        seen.push(states.get('catalog')?.version ?? -1);
      },
    },
    over.signal,
  );
  await eventually('the first look', () => seen.length > 0);
  // So that it is not the beginning of the listening that tells.
  if (pollMs > 1_000)
    await eventually('it to listen', async () => {
      const { rows } = await control.raw<{ rows: unknown[] }>(
        `SELECT FROM pg_stat_activity WHERE application_name = 'banyan-watch' AND query LIKE 'LISTEN%' AND state = 'idle'`,
      );
      return rows.length === 1;
    });
  const before = await store.readOne('catalog');
  const entry = { who: 'test', event: 'advance', why: 'a test', evidence: {} };
  const after = await store.change(before, { phase: 'sync', weight: 0 }, entry);
  await eventually('the change', () => seen.at(-1) === after.version);
});
