// COPY … TO STDOUT over pg's connection.
import { expect, test } from '@jest/globals';
import { serverUrl } from '../../test/support/postgres.ts';
import { withClient } from './connect.ts';
import { copyOut } from './copy-out.ts';

const SESSION = { applicationName: 'banyan-test' };

test('gives rows as they are on the wire, beside the answers of other statements', async () => {
  await withClient(serverUrl(), SESSION, async (client) => {
    const { rows, lines } = await copyOut(
      client,
      `BEGIN; SELECT 1, NULL; COPY (SELECT i, E'é\\t\\\\', NULL FROM generate_series(1, 2) i) TO STDOUT; COMMIT`,
    );
    expect(rows).toEqual([['1', null]]);
    expect(lines).toEqual(['1\tÃ©\\t\\\\\t\\N', '2\tÃ©\\t\\\\\t\\N']);
    expect(await copyOut(client, 'COPY (SELECT 1 WHERE false) TO STDOUT')).toEqual({
      ...{ rows: [], lines: [] },
    });
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
