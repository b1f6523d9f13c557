import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Knex } from 'knex';
import { eventually } from '../test/support/http.ts';
import { createControl, type TestDatabase } from '../test/support/postgres.ts';
import { Evidence } from './evidence.ts';
import type { ShadowCounts, ShadowMismatch } from './shadow-counts.ts';
import { openControl } from './store.ts';

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

const ROUTE = { capability: 'catalog', route: 'GET /a' };

function counts(version: number, compared: number): ShadowCounts {
  return { ...ROUTE, version, compared, mismatched: 1, dropped: 2, undecided: 1, noise: 3 };
}

function mismatch(version: number): ShadowMismatch {
  return {
    ...ROUTE,
    version,
    path: 'x',
    count: 1,
    example: { url: '/a', control: 1, candidate: 2 },
  };
}

test('counts add up over facades, and over the versions of one phase', async () => {
  await evidence.clearShadow('catalog', 5);
  await evidence.addShadow([counts(5, 10)], [mismatch(5)]);
  await evidence.addShadow([counts(6, 1), counts(5, 1)], [mismatch(6)]);
  expect(await evidence.shadow('catalog')).toEqual({
    samples: [{ ...ROUTE, compared: 12, mismatched: 3, dropped: 6, undecided: 3, noise: 9 }],
    mismatches: [{ ...ROUTE, path: 'x', count: 2, example: mismatch(5).example }],
  });
});

test('a facade that was cut off cannot count for a later phase what it counted in an earlier one', async () => {
  await evidence.clearShadow('catalog', 5);
  await evidence.addShadow([counts(5, 10)], [mismatch(5)]);
  await evidence.clearShadow('catalog', 9);
  await evidence.addShadow([counts(5, 100), counts(9, 1)], [mismatch(5)]);
  const { samples, mismatches } = await evidence.shadow('catalog');
  expect(samples).toMatchObject([{ compared: 1 }]);
  expect(mismatches).toEqual([]);
});

test('not even when it reports in the moment in which the later phase begins', async () => {
  await evidence.clearShadow('catalog', 5);
  // The report has looked at the phase and is held up before it commits; the phase must wait for it.
  const report = await control.transaction();
  const held = new Evidence(report);
  await held.addShadow([counts(5, 100)], []);
  let isBegun = false;
  const begun = evidence.clearShadow('catalog', 9).then(() => {
    isBegun = true;
  });
  await eventually('it to wait, or to be through', async () => {
    const { rows } = await control.raw<{ rows: unknown[] }>(
      "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
    );
    return isBegun || rows.length > 0;
  });
  await report.commit();
  await begun;
  expect((await evidence.shadow('catalog')).samples).toEqual([]);
});
