// While the service owns a row, what stays in it is still the monolith's: a repair brings that from there.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { withClient } from '../core/postgres/connect.ts';
import type { VerifyOutcome } from '../control/verify-outcomes.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, type RunningSync } from '../test/support/sync.ts';
import { verify } from './verify.ts';

let pair: Pair;
let sync: RunningSync;

beforeEach(async () => {
  pair = await createPair();
});

afterEach(async () => {
  await sync.stop();
  await pair.close();
});

async function run(repairFrom?: 'service'): Promise<VerifyOutcome> {
  const capability = pair.migration.capabilities['catalog'];
  const [monolith, service] = [
    pair.connections.monolith.database,
    pair.connections.services['catalog']?.database,
  ];
  if (!capability || !monolith || !service) throw new Error('no capability');
  return verify({
    ...{ id: 'catalog', capability, monolith, service },
    ...(repairFrom && { repairFrom }),
  });
}

test('what stays with the monolith is repaired from there', async () => {
  await pair.monolith.query(
    `INSERT INTO prd (no, nm, prc, stk, upd) SELECT 'N' || i, 'n', 1, i, '2000-01-01' FROM generate_series(1, 5) i`,
  );
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
  await advanceTo(pair, 'cutover');
  await equal(pair);
  // Past the fence, as a defect would.
  await withClient(
    pair.connections.services['catalog']?.database?.applier ?? '',
    SESSION,
    (client) => client.query(`UPDATE product SET stock = 999 WHERE sku IN ('N1', 'N2')`),
  );
  expect(await run('service')).toMatchObject({ missing: 0, extra: 0, different: 2 });
  await equal(pair);
  expect(await run()).toMatchObject({ missing: 0, extra: 0, different: 0 });
  const { rows } = await pair.service.query('SELECT stock FROM product ORDER BY sku');
  expect(rows).toEqual([1, 2, 3, 4, 5].map((stock) => ({ stock })));
});
