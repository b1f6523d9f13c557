// What preflight finds before anything is started: every finding at once, and none on a good pair.
import { afterEach, expect, test } from '@jest/globals';
import { createPair, type Pair } from '../test/support/pair.ts';
import { preflight } from './preflight.ts';

let pair: Pair | undefined;

afterEach(async () => {
  await pair?.close();
});

async function findings(own: Pair): Promise<string> {
  const found = await preflight(own.migration, own.connections);
  return found.map((one) => `${one.where}: ${one.what} [${one.hint}]`).join('\n');
}

test('a good pair has only what its team must know', async () => {
  pair = await createPair();
  const found = await preflight(pair.migration, pair.connections);
  expect(found.map(({ severity, what }) => [severity, what])).toEqual([
    [
      'warning',
      'sku (text) → no (character varying(20)), on the way back: texts longer than 20 characters are refused',
    ],
    [
      'warning',
      'foreign key public.ordl.ordl_prd_id_fkey points to public.prd (monolith) from a table that is not mapped',
    ],
  ]);
});

test('what may be refused, lost or surprising later is a warning', async () => {
  pair = await createPair();
  await pair.service.query(`
    ALTER TABLE product ALTER COLUMN stock TYPE smallint;
    CREATE UNIQUE INDEX ON product (name);
    CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER audit BEFORE UPDATE ON product FOR EACH ROW EXECUTE FUNCTION audit()`);
  const found = await findings(pair);
  for (const expected of [
    /stk \(integer\) → stock \(smallint\): larger numbers are refused/,
    /trigger audit of public\.product \(service\) fires for what sync writes there/,
    /unique \(name\) of public\.product has no counterpart in public\.prd/,
  ])
    expect(found).toMatch(expected);
});

test('what a write canary needs is named where one is asked for', async () => {
  pair = await createPair({
    capability: { canary: { writes: true, conflicts: 'last-writer-wins' } },
  });
  const applier = new URL(pair.connections.monolith.database?.applier ?? '').username;
  await pair.monolith.query(
    `REVOKE EXECUTE ON FUNCTION pg_catalog.pg_replication_origin_xact_setup(pg_lsn, timestamptz) FROM ${applier}`,
  );
  await pair.monolith.query('ALTER TABLE prd ALTER COLUMN dsc SET NOT NULL');
  const found = await findings(pair);
  for (const expected of [
    /replica identity of public\.prd \(monolith\) is not full \[ALTER TABLE "public"\."prd" REPLICA IDENTITY FULL/,
    /replica identity of public\.product_text \(service\) is not full/,
    /the applier may not use pg_catalog\.pg_replication_origin_xact_setup/,
    /dsc, which comes from product_text, may not be missing meanwhile/,
    /both sides number the rows of public\.prd.*ALTER SEQUENCE public\.prd_seq INCREMENT BY 2/,
  ])
    expect(found).toMatch(expected);
  expect(found).not.toMatch(/commit times|xact_reset/);
});

test('what is missing or would fail later is named, all of it', async () => {
  pair = await createPair();
  await pair.monolith.query(`
    ALTER TABLE prd RENAME COLUMN nm TO title;
    ALTER TABLE prd ADD COLUMN needed integer NOT NULL DEFAULT 1; ALTER TABLE prd ALTER COLUMN needed DROP DEFAULT;
    ALTER TABLE cat REPLICA IDENTITY NOTHING`);
  await pair.service.query(`
    ALTER TABLE product_text DROP CONSTRAINT product_text_pkey;
    ALTER TABLE product ALTER COLUMN stock DROP DEFAULT;
    DROP TABLE category CASCADE`);
  const applier = new URL(pair.connections.monolith.database?.applier ?? '').username;
  await pair.monolith.query(`REVOKE DELETE ON prd FROM ${applier}`);
  const found = await findings(pair);
  for (const expected of [
    /there is no column nm in public\.prd/,
    /column needed of public\.prd is not null, has no default and nothing fills it/,
    /replica identity of public\.cat does not hold the key/,
    /table public\.product_text has no primary key \[.*ADD PRIMARY KEY \("product_id"\)/,
    /there is no table public\.category/,
    /the applier lacks DELETE on prd/,
  ])
    expect(found).toMatch(expected);
});

test('a database that does not answer is a finding of its own, without its password', async () => {
  pair = await createPair();
  const url = new URL(pair.connections.monolith.database?.capture ?? '');
  url.port = '1';
  const database = pair.connections.monolith.database;
  if (!database) throw new Error('no logins');
  const found = await preflight(pair.migration, {
    ...pair.connections,
    monolith: { ...pair.connections.monolith, database: { ...database, capture: url.href } },
  });
  expect(JSON.stringify(found)).toMatch(/cannot connect to .*:1\//);
  expect(JSON.stringify(found)).not.toMatch(/secret/);
});

test('a schema that a role may not use is a finding, and so is a column that is mapped nowhere', async () => {
  pair = await createPair();
  const capture = new URL(pair.connections.services['catalog']?.database?.capture ?? '').username;
  await pair.monolith.query('ALTER TABLE prd ADD COLUMN forgotten text');
  expect(await findings(pair)).toMatch(/column forgotten of public\.prd is mapped nowhere/);
  await pair.service.query(
    `REVOKE USAGE ON SCHEMA public FROM PUBLIC; REVOKE USAGE ON SCHEMA public FROM ${capture}`,
  );
  expect(await findings(pair)).toMatch(
    /the capture role may not use schema public \[GRANT USAGE ON SCHEMA "public"/,
  );
});
