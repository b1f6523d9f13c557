// Values that their type takes for equal, and which read otherwise: what tells whether there is something to
// write, to refuse or to report must not take them for the same.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createPair, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';
import { verify } from './verify.ts';

const COLLATION = `CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`;

let pair: Pair;
let sync: RunningSync;

beforeAll(async () => {
  pair = await createPair({
    schemas: {
      monolith: `${COLLATION};
        CREATE TABLE plan (id int PRIMARY KEY, period interval, name text COLLATE nocase, note character(12));
        CREATE TABLE login (name text COLLATE nocase PRIMARY KEY, n int)`,
      service: `${COLLATION};
        CREATE TABLE plan (id int PRIMARY KEY, period interval, name text COLLATE nocase, note text);
        CREATE TABLE login (name text COLLATE nocase PRIMARY KEY, n int, own text);
        CREATE TABLE visit (login text COLLATE nocase REFERENCES login ON DELETE CASCADE)`,
    },
    capability: {
      tables: [
        {
          monolith: 'plan',
          service: 'plan',
          key: { id: 'id' },
          columns: { period: 'period', name: 'name', note: 'note' },
        },
        { monolith: 'login', service: 'login', key: { name: 'name' }, columns: { n: 'n' } },
      ],
    },
  });
  await pair.monolith.query(
    `INSERT INTO plan VALUES (1, '1 mon', 'bob', E'a\\n'), (2, '1 mon', 'eve', '東京\u3000'), (3, '1 mon', 'ann', ' ');
     INSERT INTO login VALUES ('bob', 1)`,
  );
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
  await streaming(pair, 'to');
});

afterAll(async () => {
  await sync.stop();
  await pair.close();
});

async function different(): Promise<number> {
  const capability = pair.migration.capabilities['catalog'];
  const { monolith, services } = pair.connections;
  const service = services['catalog']?.database;
  if (!capability || !monolith.database || !service) throw new Error('no capability');
  const outcome = await verify({ id: 'catalog', capability, monolith: monolith.database, service });
  expect(outcome).toMatchObject({ missing: 0, extra: 0, unsettled: 0 });
  return outcome.different;
}

async function logins(): Promise<{ monolith: unknown[]; service: unknown[] }> {
  const of = async (side: 'monolith' | 'service'): Promise<unknown[]> =>
    (await pair[side].query<object>('SELECT name, n FROM login')).rows;
  return { monolith: await of('monolith'), service: await of('service') };
}

test('a character(n) loses the blanks that pad it, and nothing else', async () => {
  const { rows } = await pair.service.query('SELECT note FROM plan ORDER BY id');
  expect(rows).toEqual([{ note: 'a\n' }, { note: '東京　' }, { note: '' }]);
});

test('the fence tells them apart', async () => {
  await expect(
    pair.service.query(`UPDATE plan SET period = '30 days' WHERE id = 1`),
  ).rejects.toMatchObject({ code: 'BN001' });
  await expect(pair.service.query(`UPDATE plan SET name = 'BOB' WHERE id = 1`)).rejects.toThrow();
  await pair.service.query(`UPDATE plan SET name = 'bob' WHERE id = 1`);
});

test('verify tells them apart', async () => {
  await pair.service.query(`ALTER TABLE plan DISABLE TRIGGER banyan_fence_update;
    UPDATE plan SET period = '30 days' WHERE id = 1; UPDATE plan SET name = 'EVE' WHERE id = 2`);
  expect(await different()).toBe(2);
  await pair.service.query(`UPDATE plan SET period = '1 mon', name = lower(name);
    ALTER TABLE plan ENABLE ALWAYS TRIGGER banyan_fence_update`);
  expect(await different()).toBe(0);
});

test('a key that is written otherwise is the same row', async () => {
  await pair.service.query(`UPDATE login SET own = 'kept'; INSERT INTO visit VALUES ('bob')`);
  await pair.monolith.query(`UPDATE login SET name = 'Bob', n = 2`);
  await equal(pair, logins);
  expect((await pair.service.query('SELECT name, n, own FROM login')).rows).toEqual([
    { name: 'Bob', n: 2, own: 'kept' },
  ]);
  expect((await pair.service.query('SELECT * FROM visit')).rowCount).toBe(1);
});
