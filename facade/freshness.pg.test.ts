import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Knex } from 'knex';
import { Evidence } from '../control/evidence.ts';
import { readSigningKey } from '../control/signing-key.ts';
import { openControl } from '../control/store.ts';
import { createControl, type TestDatabase } from '../test/support/postgres.ts';
import { eventually } from '../test/support/http.ts';
import { createFreshness } from './freshness.ts';

let db: Knex;
let database: TestDatabase;

beforeAll(async () => {
  database = await createControl();
  db = openControl(database.url);
});

afterAll(async () => {
  await db.destroy();
  await database.drop();
});

async function report(direction: 'to' | 'back', watermark: string | null): Promise<void> {
  await new Evidence(db).reportFlow({
    capability: 'catalog',
    direction,
    status: 'streaming',
    errorCode: null,
    error: null,
    position: null,
    watermark,
    lagP50Ms: null,
    lagP99Ms: null,
    applied: 0,
    backfill: null,
    parked: 0,
  });
}

test('knows the watermarks, and a time that is never behind the control database’s', async () => {
  const evidence = new Evidence(db);
  const freshness = createFreshness({ evidence, isWanted: () => true, everyMs: 10 });
  expect(freshness.now()).toBeUndefined();
  const stop = new AbortController();
  const running = freshness.run(stop.signal);
  try {
    await eventually('the first look', () => freshness.now() !== undefined);
    expect(freshness.watermark('catalog', 'to')).toBeUndefined();
    await report('to', '2026-01-02T03:04:05.678Z');
    await report('back', null);
    await eventually('the watermark', () => freshness.watermark('catalog', 'to') !== undefined);
    expect(freshness.watermark('catalog', 'to')).toBe(Date.parse('2026-01-02T03:04:05.678Z'));
    expect(freshness.watermark('catalog', 'back')).toBeUndefined();
    for (let nth = 0; nth < 20; nth++) {
      // Taken before ours, so ours must not be behind it; and not far ahead of what comes after.
      const before = (await evidence.now()).getTime();
      const ours = freshness.now() ?? Number.NaN;
      expect(ours).toBeGreaterThanOrEqual(before);
    }
  } finally {
    stop.abort();
    await running;
  }
});

test('knows the time from the start, also while nobody asks for watermarks', async () => {
  const evidence = new Evidence(db);
  const freshness = createFreshness({ evidence, isWanted: () => false, everyMs: 10 });
  const stop = new AbortController();
  const running = freshness.run(stop.signal);
  try {
    await eventually('the first look', () => freshness.now() !== undefined);
  } finally {
    stop.abort();
    await running;
  }
});

test('the signing key is made once and is the same for all', async () => {
  const key = await readSigningKey(db);
  expect(key.symmetricKeySize).toBe(32);
  expect((await readSigningKey(db)).equals(key)).toBe(true);
});
