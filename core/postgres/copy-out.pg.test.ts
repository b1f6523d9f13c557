// COPY … TO STDOUT over pg's connection.
import { expect, test } from '@jest/globals';
import { serverUrl } from '../../test/support/postgres.ts';
import { withClient } from './connect.ts';
import { copyOut } from './copy-out.ts';

const SESSION = { applicationName: 'banyan-test' };

test('gives rows as they are on the wire, beside the answers of other statements', async () => {
  await withClient(serverUrl(), SESSION, async (client) => {
    const { rows, count, lines } = await copyOut(
      client,
      `BEGIN; SELECT 1, NULL; COPY (SELECT i, E'é\\t\\\\', NULL FROM generate_series(1, 2) i) TO STDOUT; COMMIT`,
    );
    expect(rows).toEqual([['1', null]]);
    expect(count).toBe(2);
    expect(lines.toString()).toBe('1\té\\t\\\\\t\\N\n2\té\\t\\\\\t\\N\n');
    const none = await copyOut(client, 'COPY (SELECT 1 WHERE false) TO STDOUT');
    expect([none.count, none.lines.length]).toEqual([0, 0]);
    const long = await copyOut(
      client,
      `COPY (SELECT repeat('x', 50000) FROM generate_series(1, 30)) TO STDOUT`,
    );
    expect(long.lines.toString()).toBe(`${'x'.repeat(50_000)}\n`.repeat(30));
  });
});

test('a failure in the middle is the server’s error, and the session goes on', async () => {
  await withClient(serverUrl(), SESSION, async (client) => {
    await expect(
      copyOut(client, 'COPY (SELECT 1 / (3 - i) FROM generate_series(1, 5) i) TO STDOUT'),
    ).rejects.toMatchObject({ code: '22012' });
    const after = await client.query<{ n: number }>('SELECT 7 AS n');
    expect(after.rows).toEqual([{ n: 7 }]);
  });
});
