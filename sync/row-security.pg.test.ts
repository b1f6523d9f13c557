// Tables whose policies show a role some of the rows only: nothing is copied, compared or deleted by those.
import { afterEach, expect, test } from '@jest/globals';
import { createPair, type Pair } from '../test/support/pair.ts';
import { equal, startSync, stopped, streaming, type RunningSync } from '../test/support/sync.ts';
import { preflight } from './preflight.ts';

let pair: Pair;
let sync: RunningSync | undefined;

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

test('rows that a policy hides from us stop the flow before any is missing or pruned; preflight names them', async () => {
  pair = await createPair();
  const { monolith, service } = pair;
  await monolith.query(`
    INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', 1 FROM generate_series(1, 20) i;
    ALTER TABLE prd ENABLE ROW LEVEL SECURITY;
    CREATE POLICY few ON prd FOR SELECT USING (prd_id < 5)`);
  await service.query(
    `INSERT INTO product (id, sku, name, price_cents, state) VALUES (15, 'N15', 'kept', 1, 'active')`,
  );
  const hidden = async (): Promise<string[]> =>
    (await preflight(pair.migration, pair.connections)).flatMap(({ what, severity }) =>
      severity === 'error' && what.startsWith('row-level security') ? [what] : [],
    );
  expect(await hidden()).toEqual([
    'row-level security of prd hides rows from the capture role',
    'row-level security of prd hides rows from the applier role',
  ]);
  await pair
    .coordinator()
    .move({ capability: 'catalog', event: 'advance', to: 'sync', replaceTarget: true });
  sync = startSync(pair);
  const { code, error } = await stopped(pair, 'to');
  expect(code).toBe('FLOW_STOPPED');
  expect(error).toContain('row-level security');
  expect((await service.query('SELECT id::int FROM product')).rows).toEqual([{ id: 15 }]);

  for (const role of ['capture', 'applier'])
    await monolith.query(`ALTER ROLE m_${pair.tag}_${role} BYPASSRLS`);
  expect(await hidden()).toEqual([]);
  await pair.coordinator().resumeFlows('catalog');
  await streaming(pair, 'to');
  await equal(pair);
  expect((await service.query('SELECT 1 FROM product')).rowCount).toBe(20);
});
