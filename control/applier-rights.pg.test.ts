// What is asked of the monolith's applier before the service may own: each right by itself.
import { afterEach, expect, test } from '@jest/globals';
import { createPair, TABLES, type Pair, type PairOptions } from '../test/support/pair.ts';
import { lookup } from './lenses.ts';

let pair: Pair;
let applier: string;

afterEach(async () => {
  await pair.close();
});

async function begin(options?: PairOptions): Promise<void> {
  pair = await createPair(options);
  applier = `m_${pair.tag}_applier`;
}

/** What is missing; nothing once what mends it has been run. */
async function missing(): Promise<string[]> {
  const found = await pair.coordinator().missingRights('catalog');
  return found.map(({ role, right }) => `${role} lacks ${right}`);
}

async function mend(): Promise<void> {
  for (const { sql } of await pair.coordinator().missingRights('catalog'))
    await pair.monolith.query(sql);
}

test('to pass triggers by is a right of its own, where that is asked for', async () => {
  const [cat, prd] = TABLES ?? [];
  if (!cat || !prd) throw new Error('no tables');
  await begin({ capability: { tables: [cat, { ...prd, triggers: { monolith: 'skip' } }] } });
  expect(await missing()).toEqual([]);
  await pair.monolith.query(`REVOKE SET ON PARAMETER session_replication_role FROM ${applier}`);
  expect(await missing()).toEqual([`${applier} lacks SET on parameter session_replication_role`]);
  await mend();
  expect(await missing()).toEqual([]);
});

test('where no trigger is passed by, that right is not asked for; those on an origin are', async () => {
  await begin();
  await pair.monolith.query(`
    REVOKE SET ON PARAMETER session_replication_role FROM ${applier};
    REVOKE EXECUTE ON FUNCTION pg_catalog.pg_replication_origin_session_setup(text) FROM ${applier}`);
  expect(await missing()).toEqual([
    `${applier} lacks EXECUTE on pg_catalog.pg_replication_origin_session_setup(text)`,
  ]);
  await mend();
  expect(await missing()).toEqual([]);
});

test('a right that is had on each column is had on the table, and not where one of them lacks it', async () => {
  await begin();
  const { rows } = await pair.monolith.query<{ columns: string }>(
    `SELECT string_agg(quote_ident(attname), ', ') AS columns FROM pg_attribute
      WHERE attrelid = 'prd'::regclass AND attnum > 0 AND NOT attisdropped`,
  );
  const columns = rows[0]?.columns ?? '';
  await pair.monolith.query(`
    REVOKE SELECT, INSERT, UPDATE ON prd FROM ${applier};
    GRANT SELECT (${columns}), INSERT (${columns}), UPDATE (${columns}) ON prd TO ${applier}`);
  expect(await missing()).toEqual([]);
  await pair.monolith.query(`REVOKE UPDATE (upd) ON prd FROM ${applier}`);
  expect(await missing()).toEqual([`${applier} lacks UPDATE on public.prd`]);
  await pair.monolith.query(`REVOKE DELETE ON prd FROM ${applier}`);
  expect((await missing()).sort()).toEqual([
    `${applier} lacks DELETE on public.prd`,
    `${applier} lacks UPDATE on public.prd`,
  ]);
  await mend();
  expect(await missing()).toEqual([]);
});

test('a table that a lookup asks at the monolith is read by its applier, and not written', async () => {
  await begin({
    schemas: {
      monolith: `CREATE TABLE kind (no integer PRIMARY KEY, word text UNIQUE NOT NULL);
        CREATE TABLE m (id bigint PRIMARY KEY, kind integer)`,
      service: `CREATE TABLE s (id bigint PRIMARY KEY, kind text)`,
    },
    capability: {
      tables: [
        {
          ...{ monolith: 'm', service: 's', key: { id: 'id' } },
          columns: {
            kind: lookup('kind', { table: 'kind', monolith: 'no', service: 'word' }),
          },
        },
      ],
    },
  });
  expect(await missing()).toEqual([]);
  await pair.monolith.query(`REVOKE SELECT ON kind FROM ${applier}`);
  expect(await missing()).toEqual([`${applier} lacks SELECT on public.kind`]);
});
