// Who is in the way of a lock. Prepared transactions belong to no session, and those that touch other
// tables are in nobody's way.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { withClient } from '../core/postgres/connect.ts';
import { SESSION } from '../test/support/pair.ts';
import { ownServer, type OwnServer } from '../test/support/servers.ts';
import { findBlockers, type LockPurpose } from './blockers.ts';

let server: OwnServer;

beforeAll(async () => {
  server = await ownServer({ settings: ['max_prepared_transactions=10'] });
  await server.start();
});

afterAll(async () => {
  await server.remove();
});

const query = (sql: string): Promise<unknown> =>
  withClient(server.url(), SESSION, (client) => client.query(sql));

const named = (purpose: LockPurpose): Promise<string[]> =>
  withClient(server.url(), SESSION, async (client) =>
    (await findBlockers(client, ['public.ours', 'public.parts'], 0, purpose)).map(
      (line) => /^prepared transaction (\S+) of \S+$/.exec(line)?.[1] ?? line,
    ),
  );

test('of prepared transactions those are in the way that have touched the tables, after a restart too', async () => {
  await query(`
    CREATE TABLE ours (id integer); CREATE TABLE others (id integer);
    CREATE TABLE parts (id integer) PARTITION BY RANGE (id);
    CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (10)`);
  for (const [gid, sql] of [
    ['elsewhere', 'INSERT INTO others VALUES (1)'],
    ['reads', 'SELECT FROM ours; INSERT INTO others VALUES (2)'],
    ['writes', 'INSERT INTO ours VALUES (1)'],
    ['in-a-part', 'SAVEPOINT s; INSERT INTO part VALUES (1); RELEASE s'],
  ])
    await query(`BEGIN; ${sql}; PREPARE TRANSACTION '${gid}'`);
  const found = async (): Promise<unknown> => [await named('fence'), await named('remove')];
  const expected = [
    ['writes', 'in-a-part'],
    ['reads', 'writes', 'in-a-part'],
  ];
  expect(await found()).toEqual(expected);
  await server.stop();
  await server.start();
  expect(await found()).toEqual(expected);
});
