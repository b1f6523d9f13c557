// Values of every kind through the whole way: copied, streamed, fenced, verified, and back again.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createPair, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';
import { verify } from './verify.ts';

// name, type at the monolith, type at the service, values in SQL
const COLUMNS: readonly (readonly [string, string, string, string, string])[] = [
  ['num', 'numeric', 'numeric', `'NaN'`, `'-0.000000000000000000012345678901234567890'`],
  ['inf', 'numeric', 'numeric', `'Infinity'`, `'-Infinity'`],
  ['dbl', 'double precision', 'double precision', `'1e-300'`, `'-Infinity'`],
  ['rl', 'real', 'double precision', `'1.5'`, `'NaN'`],
  ['ts', 'timestamptz', 'timestamptz', `'infinity'`, `'0044-03-15 10:00:00.123456+01 BC'`],
  ['tz', 'timestamp', 'timestamp', `'-infinity'`, `'294276-12-31 23:59:59.999999'`],
  ['dt', 'date', 'date', `'infinity'`, `'4713-01-01 BC'`],
  ['tm', 'time', 'time', `'24:00:00'`, `'00:00:00.000001'`],
  ['iv', 'interval', 'interval', `'-1 year 2 days -00:00:00.1'`, `'178956970 years'`],
  ['arr', 'integer[]', 'integer[]', `'[2:3]={1,NULL}'`, `'{}'`],
  [
    'txts',
    'text[]',
    'text[]',
    `ARRAY['a,"b"', E'c\\\\d{}', NULL, 'NULL', '', E'new\\nline']`,
    `'{{a,b},{c,d}}'`,
  ],
  ['js', 'json', 'json', `'{"b": 1,  "a": [null, "\\u00e9\\n"]}'`, `'"x"'`],
  ['jb', 'jsonb', 'jsonb', `'{"b": 1e400, "a": {"c": "\\""}}'`, `'null'`],
  ['jj', 'json', 'jsonb', `'{"b":1,"b":2}'`, `'[]'`],
  ['bin', 'bytea', 'bytea', `'\\x00ff5c27'`, `''`],
  [
    'uid',
    'uuid',
    'text',
    `'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'`,
    `'00000000-0000-0000-0000-000000000000'`,
  ],
  ['moo', 'mood', 'mood', `'so "so"'`, `'hap,py'`],
  ['rng', 'int4range', 'int4range', `'empty'`, `'(,5]'`],
  ['tr', 'tstzrange', 'tstzrange', `'["2020-01-01 00:00+00",)'`, `'(,)'`],
  ['mr', 'int4multirange', 'int4multirange', `'{[1,3),[5,9)}'`, `'{}'`],
  ['bits', 'bit(5)', 'bit(5)', `'10101'`, `'00000'`],
  ['vb', 'bit varying', 'bit varying', `'1010111'`, `''`],
  ['net', 'inet', 'inet', `'10.1.2.3/8'`, `'::1'`],
  ['mac', 'macaddr', 'macaddr', `'08:00:2b:01:02:03'`, `'00:00:00:00:00:00'`],
  ['pt', 'point', 'point', `'(1.1,2.2)'`, `'(-0,1e-300)'`],
  ['vec', 'tsvector', 'tsvector', `'''it''''s'':1A fat:2'`, `''`],
  ['ch', 'char(5)', 'text', `'ab'`, `''`],
  ['cc', 'char(5)', 'char(5)', `'ab'`, `'é'`],
  ['txt', 'text', 'text', `E'\\'"\\\\{},\\n\\t🦊 Ünïcödé NULL'`, `''`],
  ['bool', 'boolean', 'boolean', 'true', 'false'],
  ['comp', 'pair', 'pair', `ROW('a,"(', NULL)`, `ROW('', 1)`],
  ['dom', 'positive', 'positive', '5', '7'],
  ['xid8', 'xid8', 'text', `'18446744073709551615'`, `'0'`],
];

const TYPES = `
CREATE TYPE mood AS ENUM ('so "so"', 'hap,py');
CREATE TYPE pair AS (t text, n integer);
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);`;
const table = (at: 1 | 2, name: string): string =>
  `CREATE TABLE ${name} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ${COLUMNS.map((column) => `${column[0]} ${column[at]}`).join(', ')}, doubled integer GENERATED ALWAYS AS (length(txt) * 2) STORED)`;
// Keys that are not numbers, in orders that are not bytes: copied in chunks, so their order matters.
const KEYS = `
CREATE TABLE keyed (a char(4), b text COLLATE "en-x-icu", c numeric(10,2), v text, PRIMARY KEY (b, a, c));
CREATE TABLE stamped (at timestamptz PRIMARY KEY, uid uuid NOT NULL, v text);`;

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
