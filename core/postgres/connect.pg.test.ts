import { expect, test } from '@jest/globals';
import { createDatabase, serverUrl } from '../../test/support/postgres.ts';
import { waitFor } from '../lifecycle.ts';
import { connect, describeUrl, isConnectionError, sqlState, withClient } from './connect.ts';

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
      { timeoutMs: 10_000, what: 'half-open logins to be gone' },
    ),
  );
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

test('a URL is shown without its password', () => {
  expect(describeUrl('postgres://me:hush@db.example:6543/shop')).toBe('db.example:6543/shop as me');
  expect(describeUrl('nonsense')).toBe('an unreadable connection URL');
});
