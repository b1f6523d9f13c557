// A mapping that changes while a flow exists: what it says anew is copied, or the flow stops before the
// service's nothing is taken for a value; and no evidence of the older mapping opens a gate.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { BanyanError } from '../core/errors.ts';
import type { MoveResult } from '../control/domain/move.ts';
import type { Migration } from '../control/definition.ts';
import { defineMigration } from '../control/define.ts';
import { mappingVersion } from '../control/mapping-version.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import {
  equal,
  noteClean,
  startSync,
  stopped,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';

let pair: Pair;
/** The pair's definition, in which no category is mapped yet. */
let older: Migration;
let sync: RunningSync | undefined;

beforeEach(async () => {
  pair = await createPair();
  older = withoutCategory(pair.migration);
  await pair.monolith.query(`
    INSERT INTO cat VALUES (1, 'all', NULL);
    INSERT INTO prd (no, nm, prc, cat_id) SELECT 'N' || i, 'n', i, 1 FROM generate_series(1, 20) i`);
  await advance(older, 'sync');
  sync = startSync(pair, { migration: older });
  await streaming(pair, 'to');
});

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

function withoutCategory(migration: Migration): Migration {
  const draft = structuredClone(migration);
  for (const map of draft.capabilities['catalog']?.tables ?? []) delete map.columns['cat_id'];
  return defineMigration(draft);
}

function advance(migration: Migration, to: MoveResult['to']): Promise<MoveResult> {
  return pair.coordinator({ migration }).move({ capability: 'catalog', event: 'advance', to });
}

async function restart(migration: Migration): Promise<void> {
  await sync?.stop();
  sync = startSync(pair, { migration });
}

async function categories(): Promise<unknown> {
  const { rows } = await pair.monolith.query<{ count: number }>(
    'SELECT count(*)::int FROM prd WHERE cat_id = 1',
  );
  return rows[0]?.count;
}

test('a column that comes into the mapping in sync is copied, and no evidence of before counts', async () => {
  await restart(pair.migration);
  await equal(pair);
  await streaming(pair, 'to');

  for (const phase of ['shadow', 'canary'] as const) await advance(pair.migration, phase);
  await streaming(pair, 'back');
  const verified = { rows: 20, missing: 0, extra: 0, different: 0, unsettled: 0, samples: [] };
  const note = ({ capabilities: { catalog } }: Migration): Promise<void> =>
    pair.evidence.addVerify({
      ...{ capability: 'catalog', ...verified },
      mapping: mappingVersion(catalog?.tables ?? []),
    });
  const refused = async (): Promise<unknown> => {
    const error: unknown = await advance(pair.migration, 'cutover').catch((e: unknown) => e);
    return error instanceof BanyanError ? `${error.code} ${error.message}` : error;
  };
  await note(older);
  expect(await refused()).toMatch(/^GATE_REFUSED .*verify.*of another mapping/s);
  await note(pair.migration);
  // It has been verified by the present mapping, and sync runs by the older one.
  await restart(older);
  for (const direction of ['to', 'back'] as const) await streaming(pair, direction);
  expect(await refused()).toMatch(/^GATE_REFUSED .*sync to mapping.*sync back mapping/s);
  await restart(pair.migration);
  for (const direction of ['to', 'back'] as const) await streaming(pair, direction);
  expect(await advance(pair.migration, 'cutover')).toMatchObject({ to: 'cutover' });
  await equal(pair);
});

test('a column that comes in while the service owns stops sync back before anything is overwritten', async () => {
  for (const phase of ['shadow', 'canary'] as const) await advance(older, phase);
  for (const direction of ['to', 'back'] as const) await streaming(pair, direction);
  await noteClean(pair);
  await advance(older, 'cutover');
  await restart(pair.migration);
  await pair.service.query(`UPDATE product SET name = 'renamed'`);
  const { code, error } = await stopped(pair, 'back');
  expect(code).toBe('FLOW_STOPPED');
  expect(error).toMatch(/moves other columns than those that were copied.*Put the mapping back/s);
  expect(await categories()).toBe(20);
  await restart(older);
  await streaming(pair, 'back');
  const { rows } = await pair.monolith.query('SELECT DISTINCT nm FROM prd');
  expect(rows).toEqual([{ nm: 'renamed' }]);
  expect(await categories()).toBe(20);
});
