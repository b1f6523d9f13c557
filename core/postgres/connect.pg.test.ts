import { expect, test } from '@jest/globals';
import { createDatabase, serverUrl } from '../../test/support/postgres.ts';
import { startProxy } from '../../test/support/proxy.ts';
import type { BanyanError } from '../errors.ts';
import { waitFor } from '../lifecycle.ts';
import { connect, describeUrl, isConnectionError, sqlState, withClient } from './connect.ts';
import { introduce } from './silence.ts';

const SESSION = { applicationName: 'banyan-test' };

test('a login that fails names server and role, never the password, and leaves no session behind', async () => {
  const url = new URL(serverUrl());
  url.password = 'hush';
  const failed = connect(url.href, { applicationName: 'banyan-refused' });
  await expect(failed).rejects.toMatchObject({ code: 'DATABASE_UNREACHABLE' });
  await expect(failed).rejects.not.toThrow(/hush/);
  url.password = '';
  await expect(connect(url.href, { applicationName: 'banyan-half' })).rejects.toMatchObject({
    code: 'DATABASE_UNREACHABLE',
  });
  await withClient(serverUrl(), SESSION, (client) =>
    waitFor(
      async () => {
        const { rows } = await client.query(
          `SELECT 1 FROM pg_stat_activity WHERE state = 'starting' AND client_port IS NOT NULL`,
        );
        return rows.length === 0;
      },
      { timeoutMs: 30_000, what: 'half-open logins to be gone' },
    ),
  );
});

test('a server that answers and refuses is told apart from one that does not answer', async () => {
  const hint = async (url: URL): Promise<unknown> =>
    connect(url.href, SESSION).catch((error: unknown) => (error as BanyanError).hint);
  const url = new URL(serverUrl('not there'));
  expect(await hint(url)).toContain('CREATE DATABASE "not there" OWNER');
  url.username = 'some body';
  url.password = 'hush';
  expect(await hint(url)).toContain(`ALTER ROLE "some body" PASSWORD '…'`);
  url.port = '1';
  expect(await hint(url)).toContain('Check that the server runs');
});

test('a session that the server ended is told apart from a refused statement', async () => {
  const database = await createDatabase('ended');
  const client = await connect(database.url, SESSION);
  try {
    const refused = await client.query('SELECT 1 / 0').catch((error: unknown) => error);
    expect(isConnectionError(refused)).toBe(false);
    expect(sqlState(refused)).toBe('22012');
    const ended = await client
      .query('SELECT pg_terminate_backend(pg_backend_pid())')
      .catch((error: unknown) => error);
    expect(isConnectionError(ended)).toBe(true);
    const later = await client.query('SELECT 1').catch((error: unknown) => error);
    expect(isConnectionError(later)).toBe(true);
  } finally {
    await client.end().catch(() => undefined);
    await database.drop();
  }
});

test('what a database sets for all its sessions changes nothing of what ours read and write', async () => {
  const database = await createDatabase('settings');
  await withClient(database.url, SESSION, (client) =>
    client.query(
      Object.entries({
        array_nulls: 'off',
        standard_conforming_strings: 'off',
        xmloption: 'document',
        datestyle: 'German',
        intervalstyle: 'iso_8601',
        bytea_output: 'escape',
        extra_float_digits: '-3',
        default_transaction_isolation: 'repeatable read',
        statement_timeout: '20ms',
        idle_in_transaction_session_timeout: '20ms',
        row_security: 'on',
      })
        .map(([name, value]) => `ALTER DATABASE ${database.name} SET ${name} = '${value}'`)
        .join(';'),
    ),
  );
  await withClient(database.url, SESSION, async (client) => {
    const { rows } = await client.query(`
      SELECT ('{NULL}'::text[])[1] AS "null", 'a<b/>'::xml::text AS xml, '2020-12-31'::date::text AS date,
             interval '1 day'::text AS interval, '\\x00'::bytea::text AS bytea, (1.0 / 3)::float8::text AS float,
             current_setting('transaction_isolation') AS isolation, current_setting('row_security') AS policies, length('\\000')::text AS backslash, pg_sleep(0.05)::text AS slept`);
    expect(rows).toEqual([
      {
        ...{ null: null, xml: 'a<b/>', date: '2020-12-31', interval: '1 day', bytea: '\\x00' },
        ...{ float: '0.3333333333333333', isolation: 'read committed', policies: 'off', slept: '' },
        backslash: '4',
      },
    ]);
  });
  await database.drop();
});

test('a URL is shown without its password', () => {
  expect(describeUrl('postgres://me:hush@db.example:6543/shop')).toBe('db.example:6543/shop as me');
  expect(describeUrl('nonsense')).toBe('an unreadable connection URL');
});

test('a session is given up also when the look at its server is lost on the way', async () => {
  const url = serverUrl();
  const proxy = await startProxy(Number(new URL(url).port));
  const client = await connect(proxy.through(url), { ...SESSION, silenceMs: 400 });
  let looks = 0;
  const open = async () => {
    const second = await connect(proxy.through(url), SESSION);
    if (looks++ === 0) proxy.silence();
    return second;
  };
  introduce(client, { ...SESSION, open });
  const long = client.query('SELECT pg_sleep(5)');
  await expect(long).rejects.toThrow('does not answer');
  expect(looks).toBeGreaterThan(1);
  await proxy.close();
});
