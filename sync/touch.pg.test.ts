// While the service owns a row, what stays in it is still the monolith's: a repair brings that from there.
import { afterEach, expect, test } from '@jest/globals';
import { withClient } from '../core/postgres/connect.ts';
import type { VerifyOutcome } from '../control/verify-outcomes.ts';
import { appliersOf, viewsOf } from '../test/support/mapped.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, type RunningSync } from '../test/support/sync.ts';
import { verify } from './verify.ts';

let pair: Pair;
let sync: RunningSync;

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
  pair = await createPair();
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

test('long values that stay are repaired, however many of a row are wrong', async () => {
  const long = ['note text', 'info jsonb', 'tags text[]', 'none text[]'];
  const alter = (table: string): string =>
    ['note', 'info', 'tags']
      .map((name) => `ALTER TABLE ${table} ALTER ${name} SET STORAGE EXTERNAL;`)
      .join('');
  pair = await createPair({
    schemas: {
      monolith: `CREATE TABLE item (id integer PRIMARY KEY, nm text, ${long.join(', ')}); ${alter('item')}`,
      service: `CREATE TABLE thing (id integer PRIMARY KEY, nm text, ${long.join(', ')}); ${alter('thing')}`,
    },
    capability: {
      tables: [
        {
          ...{ monolith: 'item', service: 'thing', key: { id: 'id' }, columns: { nm: 'nm' } },
          stays: { note: 'note', info: 'info', tags: 'tags', none: 'none' },
        },
      ],
    },
  });
  await pair.monolith.query(
    `INSERT INTO item SELECT i, 'n', repeat('long ', 2000), jsonb_build_object('a', repeat('long ', 2000)),
                             ARRAY[NULL, repeat('long ', 2000)] FROM generate_series(1, 4) i`,
  );
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
  await advanceTo(pair, 'cutover');
  const columns =
    'SELECT id, nm, md5(note) AS note, md5(info::text) AS info, md5(tags::text) AS tags, none';
  const same = viewsOf(
    pair,
    `${columns} FROM item ORDER BY id`,
    `${columns} FROM thing ORDER BY id`,
  );
  await equal(pair, same);
  const before = await same();
  await withClient(appliersOf(pair).to, SESSION, (client) =>
    client.query(`UPDATE thing SET note = 'wrong' WHERE id < 3;
      UPDATE thing SET info = '{}', tags = '{}', none = '{}' WHERE id IN (2, 3)`),
  );
  expect(await run('service')).toMatchObject({ missing: 0, extra: 0, different: 3 });
  await equal(pair, same);
  expect(await same()).toEqual(before);
  expect(await run()).toMatchObject({ missing: 0, extra: 0, different: 0 });
});
