// Tables that inherit from a mapped one and are no partitions of it: their rows show there, are no changes
// of it, and meet no fence.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createPair, type Pair } from '../test/support/pair.ts';
import {
  advanceTo,
  equal,
  startSync,
  stopped,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';
import { preflight } from './preflight.ts';

let pair: Pair;
let sync: RunningSync | undefined;

beforeEach(async () => {
  pair = await createPair();
  await pair.monolith.query(`INSERT INTO prd (no, nm, prc) VALUES ('a', 'a', 1)`);
});

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

test.each(['monolith', 'service'] as const)(
  'no sync begins as long as a table inherits from a mapped one of the %s',
  async (side) => {
    const table = { monolith: 'prd', service: 'product' }[side];
    await pair[side].query(`CREATE TABLE old_ones () INHERITS (${table})`);
    const found = await preflight(pair.migration, pair.connections);
    expect(found).toContainEqual(
      expect.objectContaining({
        severity: 'error',
        what: `public.old_ones inherits from public.${table} (${side})`,
      }),
    );
    await expect(advanceTo(pair, 'sync')).rejects.toMatchObject({
      code: 'PREFLIGHT_FAILED',
      message: `old_ones inherits from ${table}`,
    });
    expect((await pair.store.readOne('catalog')).phase).toBe('monolith');
    await pair[side].query(`ALTER TABLE old_ones NO INHERIT ${table}`);
    await advanceTo(pair, 'sync');
    expect((await pair.store.readOne('catalog')).phase).toBe('sync');
  },
);

test('a table that comes to inherit from a mapped one stops the flow; taken off, it goes on', async () => {
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
  await streaming(pair, 'to');
  await pair.monolith.query('CREATE TABLE old_ones () INHERITS (prd)');
  const { code, error } = await stopped(pair, 'to');
  expect(code).toBe('FLOW_STOPPED');
  expect(error).toContain('public.old_ones inherits from public.prd');
  await pair.monolith.query(`
    ALTER TABLE old_ones NO INHERIT prd; INSERT INTO prd (no, nm, prc) VALUES ('b', 'b', 1)`);
  await pair.coordinator().resumeFlows('catalog');
  await equal(pair);
});
