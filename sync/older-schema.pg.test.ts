// Flows that are started by a newer version than the one their databases were entered by: these are brought up to
// date, with the rights in what is new, and where nothing has entered nothing is made.
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { migrationsFolder } from '../core/postgres/migrate.ts';
import type { Logins } from '../control/connections.ts';
import { keepUpToDate } from '../control/entry.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import {
  advanceTo,
  equal,
  leftovers,
  startSync,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';

let pair: Pair;
let sync: RunningSync | undefined;

beforeEach(async () => {
  pair = await createPair();
  await pair.monolith.query(
    `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', i FROM generate_series(1, 10) i`,
  );
});

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

const SIDES = ['monolith', 'service'] as const;
type Side = (typeof SIDES)[number];

function loginsOf(side: Side): Logins {
  const { monolith, services } = pair.connections;
  const logins = { monolith: monolith.database, service: services['catalog']?.database }[side];
  if (!logins) throw new Error('no logins');
  return logins;
}

const applierOf = (side: Side): string => `${side === 'monolith' ? 'm' : 's'}_${pair.tag}_applier`;

/** Undoes the newest migration, and takes away the rights in a table, as if that had come with it. */
async function makeOlder(side: Side): Promise<void> {
  const folder = migrationsFolder('participant');
  const newest = (await readdir(folder)).sort().at(-1) ?? '';
  const [, down = ''] = (await readFile(path.join(folder, newest), 'utf8')).split(
    '-- Down Migration',
  );
  await pair[side].query(`${down}; REVOKE ALL ON banyan.flight FROM ${applierOf(side)}`);
  const { rowCount } = await pair[side].query('DELETE FROM banyan.pgmigrations WHERE name = $1', [
    path.parse(newest).name,
  ]);
  expect(rowCount).toBe(1);
}

/** What has been run, what that has made, and what the applier may do there. */
async function schemaOf(side: Side): Promise<unknown> {
  const { rows } = await pair[side].query(
    `SELECT 'migration' AS kind, name AS what FROM banyan.pgmigrations
     UNION ALL SELECT 'column', table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'banyan'
     UNION ALL SELECT 'right', privilege_type || ' on ' || table_name FROM information_schema.role_table_grants
                WHERE table_schema = 'banyan' AND grantee = $1
     ORDER BY 1, 2`,
    [applierOf(side)],
  );
  return rows;
}

test('flows that find an older schema make it the newest, and go on', async () => {
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
  await advanceTo(pair, 'cutover');
  await sync.stop();
  const before = { monolith: await schemaOf('monolith'), service: await schemaOf('service') };
  for (const side of SIDES) await makeOlder(side);
  await pair.service.query(`UPDATE product SET name = 'meanwhile'`);
  sync = startSync(pair);
  for (const direction of ['back', 'to'] as const) await streaming(pair, direction);
  await equal(pair);
  for (const side of SIDES) expect(await schemaOf(side)).toEqual(before[side]);
});

test('those that are started at once are not in each other’s way', async () => {
  await advanceTo(pair, 'sync');
  const before = await schemaOf('service');
  const all = (): Promise<unknown> =>
    Promise.all(Array.from({ length: 8 }, () => keepUpToDate(loginsOf('service'), 'catalog')));
  await makeOlder('service');
  await all();
  expect(await schemaOf('service')).toEqual(before);
  // Where only rights are missing, no migration has them wait for each other.
  for (let turn = 0; turn < 5; turn++) {
    await pair.service.query(`REVOKE ALL ON banyan.flight FROM ${applierOf('service')}`);
    await all();
  }
  expect(await schemaOf('service')).toEqual(before);
});

test('where the capability has not entered nothing is made, nor changed for another one', async () => {
  for (const side of SIDES) await keepUpToDate(loginsOf(side), 'catalog');
  expect(await leftovers(pair)).toEqual([]);
  await advanceTo(pair, 'sync');
  await makeOlder('service');
  const before = await schemaOf('service');
  await keepUpToDate(loginsOf('service'), 'other');
  expect(await schemaOf('service')).toEqual(before);
});
