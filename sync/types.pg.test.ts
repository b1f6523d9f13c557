// Values of every kind through the whole way: copied, streamed, fenced, verified, and back again.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { COLUMNS, KEYS, table, TYPES } from '../test/support/every-type.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';
import { verify } from './verify.ts';

let pair: Pair;
let sync: RunningSync;

beforeAll(async () => {
  pair = await createPair({
    schemas: {
      monolith: `${TYPES} ${table(1, 'every')}; ${KEYS}`,
      service: `${TYPES} ${table(2, 'every')}; ${KEYS}`,
    },
    capability: {
      tables: [
        {
          monolith: 'every',
          service: 'every',
          key: { id: 'id' },
          columns: Object.fromEntries(COLUMNS.map(([name]) => [name, name])),
        },
        {
          monolith: 'keyed',
          service: 'keyed',
          key: { b: 'b', a: 'a', c: 'c' },
          columns: { v: 'v' },
        },
        {
          monolith: 'stamped',
          service: 'stamped',
          key: { at: 'at' },
          columns: { uid: 'uid', v: 'v' },
        },
      ],
    },
  });
  await insert('monolith', 3);
  await pair.monolith.query(`
    INSERT INTO keyed SELECT substr('a b', 1, 1 + i % 3), (ARRAY['a', 'A', 'ä', 'Z', 'z', 'é', '"', '\\', '', 'aé'])[1 + i % 10], i / 4.0, 'v' FROM generate_series(1, 60) i;
    INSERT INTO stamped SELECT '2020-01-01'::timestamptz + i * interval '0.000001 s', gen_random_uuid(), 'v' FROM generate_series(1, 60) i`);
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
});

afterAll(async () => {
  await sync.stop();
  await pair.close();
});

async function insert(side: 'monolith' | 'service', value: 3 | 4): Promise<void> {
  await pair[side].query(
    `INSERT INTO every (${COLUMNS.map(([name]) => name).join(', ')}) VALUES (${COLUMNS.map((column) => column[value]).join(', ')})`,
  );
  await pair[side].query('INSERT INTO every DEFAULT VALUES');
}

async function views(): Promise<{ monolith: unknown[]; service: unknown[] }> {
  const read = async (side: 'monolith' | 'service'): Promise<unknown[]> => {
    const every = await pair[side].query<object>(
      `SELECT id, doubled, ${COLUMNS.map(([name, from, into]) => (from === into ? `${name}::text` : `rtrim(${name}::text) AS ${name}`)).join(', ')} FROM every ORDER BY id`,
    );
    const keyed = await pair[side].query<object>('SELECT * FROM keyed ORDER BY b, a, c');
    const stamped = await pair[side].query<object>(
      'SELECT at::text, uid, v FROM stamped ORDER BY at',
    );
    return [...every.rows, ...keyed.rows, ...stamped.rows];
  };
  const sides = { monolith: await read('monolith'), service: await read('service') };
  // Two of them are no more than equal by value.
  for (const rows of Object.values(sides))
    for (const row of rows as Record<string, unknown>[])
      if (typeof row['jj'] === 'string') row['jj'] = JSON.stringify(JSON.parse(row['jj']));
  return sides;
}

async function clean(): Promise<void> {
  const capability = pair.migration.capabilities['catalog'];
  const [monolith, service] = [
    pair.connections.monolith.database,
    pair.connections.services['catalog']?.database,
  ];
  if (!capability || !monolith || !service) throw new Error('no capability');
  const outcome = await verify({ id: 'catalog', capability, monolith, service, chunkRows: 7 });
  expect(outcome).toMatchObject({ missing: 0, extra: 0, different: 0, unsettled: 0 });
}

test('every type is copied, streamed and verified', async () => {
  await streaming(pair, 'to');
  await equal(pair, views);
  await insert('monolith', 4);
  await pair.monolith.query(
    `UPDATE every SET ${COLUMNS.map((column) => `${column[0]} = ${column[4]}`).join(', ')} WHERE id = 2;
     UPDATE keyed SET v = 'w', a = 'zz' WHERE b IN ('ä', '"', ''); DELETE FROM keyed WHERE b = 'Z';
     UPDATE stamped SET at = at + interval '1 year' WHERE extract(microseconds FROM at)::int % 3 = 0`,
  );
  await equal(pair, views);
  await clean();
});

test('every type can be fenced, and comes back', async () => {
  await advanceTo(pair, 'cutover');
  for (const [name] of COLUMNS)
    await expect(
      pair.monolith.query(`UPDATE every SET ${name} = NULL WHERE id = 1`),
    ).rejects.toMatchObject({ code: 'BN001' });
  await pair.monolith.query(
    `UPDATE every SET ${COLUMNS.map(([name]) => `${name} = ${name}`).join(', ')}`,
  );
  await insert('service', 3);
  await insert('service', 4);
  await pair.service.query(
    `UPDATE every SET ${COLUMNS.map((column) => `${column[0]} = ${column[3]}`).join(', ')} WHERE id = 2`,
  );
  await equal(pair, views);
  await clean();
});
