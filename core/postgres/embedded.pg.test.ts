import { expect, test } from '@jest/globals';
import { startEmbedded } from './embedded.ts';
import { withClient } from './connect.ts';

test('starts a server with logical decoding and leaves nothing behind', async () => {
  const server = await startEmbedded({ fsync: false });
  const url = await server.createDatabase('shop');
  const session = { applicationName: 'test' };
  const level = await withClient(url, session, async (client) => {
    const { rows } = await client.query<{ wal_level: string }>('SHOW wal_level');
    return rows[0]?.wal_level;
  });
  expect(level).toBe('logical');
  await server.stop();
  await expect(
    withClient(url, session, (client) => client.query('SELECT 1')),
  ).rejects.toMatchObject({
    code: 'DATABASE_UNREACHABLE',
  });
});
