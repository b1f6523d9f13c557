// What a truncate at the owner does to the other side is the team's to say.
import { afterEach, expect, test } from '@jest/globals';
import { createPair, TABLES, type Pair } from '../test/support/pair.ts';
import {
  advanceTo,
  equal,
  startSync,
  stopped,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';

let pair: Pair;
let sync: RunningSync | undefined;

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

test('a truncate that is to stop the flow empties nothing until the mapping lets it', async () => {
  pair = await createPair({
    capability: { tables: TABLES?.map((table) => ({ ...table, truncate: 'stop' as const })) },
  });
  await pair.monolith.query(
    `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', 1 FROM generate_series(1, 5) i`,
  );
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
  await streaming(pair, 'to');
  await pair.monolith.query(`
    UPDATE prd SET nm = 'last'; TRUNCATE prd CASCADE;
    INSERT INTO prd (prd_id, no, nm, prc) VALUES (9, 'N9', 'back', 1)`);
  const { code, error } = await stopped(pair, 'to');
  expect(code).toBe('FLOW_STOPPED');
  expect(error).toContain('public.prd was truncated at the source');
  const { rows } = await pair.service.query('SELECT count(*)::int AS n FROM product');
  expect(rows).toEqual([{ n: 5 }]);
  await sync.stop();
  const { catalog } = pair.migration.capabilities;
  if (!catalog) throw new Error('no catalog');
  const tables = catalog.tables.map((table) => ({ ...table, truncate: 'apply' as const }));
  const capabilities = { catalog: { ...catalog, tables } };
  sync = startSync(pair, { migration: { ...pair.migration, capabilities } });
  await equal(pair);
});
