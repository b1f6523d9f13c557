// A table that comes into the mapping of a flow that exists, or leaves it: the flow says how that is done,
// nothing wedges, and nothing is missed where the table comes back.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { defineMigration } from '../control/define.ts';
import type { Migration } from '../control/definition.ts';
import type { Phase } from '../control/domain/phase.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import {
  equal,
  leftovers,
  noteClean,
  startSync,
  stopped,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';
import { preflight } from './preflight.ts';

let pair: Pair;
/** The pair's definition without its first table. */
let fewer: Migration;
let sync: RunningSync | undefined;

beforeEach(async () => {
  pair = await createPair();
  const draft = structuredClone(pair.migration);
  draft.capabilities['catalog']?.tables.shift();
  fewer = defineMigration(draft);
  await pair.service.query(`ALTER TABLE product DROP CONSTRAINT product_category_id_fkey`);
  await pair.monolith.query(`
    INSERT INTO cat VALUES (1, 'one', NULL);
    INSERT INTO prd (no, nm, prc, cat_id) VALUES ('A', 'a', 1, 1)`);
});

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

async function advance(migration: Migration, ...phases: readonly Phase[]): Promise<void> {
  for (const to of phases)
    await pair.coordinator({ migration }).move({ capability: 'catalog', event: 'advance', to });
}

async function restart(migration: Migration): Promise<void> {
  await sync?.stop();
  sync = startSync(pair, { migration });
}

async function titles(): Promise<unknown[]> {
  const { rows } = await pair.service.query<{ title: string }>(
    'SELECT title FROM category ORDER BY id',
  );
  return rows.map(({ title }) => title);
}

async function found(severity: 'error' | 'warning', migration: Migration): Promise<string> {
  return (await preflight(migration, pair.connections))
    .filter((one) => one.severity === severity)
    .map(({ what, hint }) => `${what}: ${hint}`)
    .join('\n');
}

test('one that is tried under a flow that exists is refused, and taken back leaves nothing behind', async () => {
  await advance(fewer, 'sync');
  await restart(fewer);
  await streaming(pair, 'to');
  expect(await found('error', fewer)).toBe('');
  expect(await found('error', pair.migration)).toMatch(
    /table public\.cat is mapped, and the flow .* was made without it.*going back to `monolith`/,
  );
  await restart(pair.migration);
  const { code, error } = await stopped(pair, 'to');
  expect(code).toBe('FLOW_STOPPED');
  expect(error).toMatch(/table public\.cat is not in it.*a table is added by going back/);
  await restart(fewer);
  await pair.monolith.query(`INSERT INTO prd (no, nm, prc) VALUES ('B', 'b', 1)`);
  await equal(pair);
  await streaming(pair, 'to');
  await advance(fewer, 'shadow');
  // It has not entered, and gets no fence by being tried.
  await pair.coordinator().mendFences('catalog');
  expect(await found('warning', fewer)).not.toMatch(/table public\.category/);
  // One of an older version's goes with the others.
  await pair.service.query(
    `CREATE TRIGGER banyan_fence_insert AFTER INSERT ON category FOR EACH ROW WHEN (false)
      EXECUTE FUNCTION banyan.fence('catalog', 'monolith', '')`,
  );
  expect(await found('warning', fewer)).toMatch(
    /table public\.category is mapped no more, and still/,
  );
  // Another capability keeps the schema there, and with it what a fence needs.
  await pair.service.query(`INSERT INTO banyan.ownership VALUES ('other', 1, true)`);
  for (const to of ['sync', 'monolith'] as const)
    await pair
      .coordinator({ migration: fewer })
      .move({ capability: 'catalog', event: 'rollback', to });
  expect(await leftovers(pair)).toEqual(['schema banyan']);
});

test('one that leaves the mapping stops the flow at its next change, and misses nothing when it is back', async () => {
  await advance(pair.migration, 'sync');
  await restart(pair.migration);
  await streaming(pair, 'to');
  await restart(fewer);
  await streaming(pair, 'to');
  expect(await found('error', fewer)).toMatch(/table public\.cat is mapped no more.*Map it again/);
  await pair.monolith.query(`
    UPDATE cat SET nm = 'meanwhile';
    INSERT INTO cat VALUES (2, 'new', 1)`);
  expect((await stopped(pair, 'to')).error).toMatch(/changes of table public\.cat arrive/);
  await restart(pair.migration);
  await waitFor(async () => (await titles()).length === 2, {
    timeoutMs: 30_000,
    what: 'the table to be complete',
  });
  await streaming(pair, 'to');
  expect(await titles()).toEqual(['meanwhile', 'new']);
});

test('one that leaves it while the service owns stops both flows until it is back', async () => {
  await advance(pair.migration, 'sync');
  await restart(pair.migration);
  await streaming(pair, 'to');
  await advance(pair.migration, 'shadow', 'canary');
  for (const direction of ['to', 'back'] as const) await streaming(pair, direction);
  await noteClean(pair);
  await advance(pair.migration, 'cutover');
  await restart(fewer);
  for (const direction of ['to', 'back'] as const)
    expect((await stopped(pair, direction)).error).toMatch(
      /mapping no longer names public\.cat.*Put the mapping back/,
    );
  await pair.service.query(`UPDATE category SET title = 'by the service'`);
  await restart(pair.migration);
  for (const direction of ['to', 'back'] as const) await streaming(pair, direction);
  expect((await pair.monolith.query('SELECT nm FROM cat')).rows).toEqual([
    { nm: 'by the service' },
  ]);
});
