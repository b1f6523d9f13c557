import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type pg from 'pg';
import { createDatabase, type TestDatabase } from '../../test/support/postgres.ts';
import { connect } from './connect.ts';
import { copyIn } from './copy-in.ts';
import { copyField } from './text-forms.ts';

let database: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  database = await createDatabase('copy');
  client = await connect(database.url, { applicationName: 'banyan-test' });
  await client.query('CREATE TABLE copied (n integer PRIMARY KEY, a text, b text)');
});

afterAll(async () => {
  await client.end();
  await database.drop();
});

function lines(rows: readonly (readonly (string | null)[])[]): Buffer {
  return Buffer.from(rows.map((row) => `${row.map(copyField).join('\t')}\n`).join(''));
}

const COPY = 'COPY copied (n, a, b) FROM STDIN';

test('every text that PostgreSQL can hold comes back as it went in', async () => {
  const text = fc
    .string({ unit: 'grapheme' })
    .filter((value) => !value.includes('\0') && value.isWellFormed());
  const tricky = fc.constantFrom(
    '',
    '\\N',
    '\\.',
    '\\',
    '\t',
    '\n',
    '\r\n',
    'a\tb',
    '\b\f\v',
    '😀',
  );
  const value = fc.oneof(text, tricky, fc.constant(null));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(value, value), { maxLength: 30 }), async (pairs) => {
      await client.query('TRUNCATE copied');
      await copyIn(client, COPY, lines(pairs.map(([a, b], n) => [String(n), a, b])));
      const { rows } = await client.query<{ a: string | null; b: string | null }>(
        'SELECT a, b FROM copied ORDER BY n',
      );
      expect(rows.map(({ a, b }) => [a, b])).toEqual(pairs);
    }),
    { numRuns: 60 },
  );
});

test('a refused row is the error of the statement, and the session goes on', async () => {
  await client.query('TRUNCATE copied');
  await expect(
    copyIn(
      client,
      COPY,
      lines([
        ['1', 'a', 'b'],
        ['1', 'c', 'd'],
      ]),
    ),
  ).rejects.toMatchObject({ code: '23505' });
  await expect(copyIn(client, COPY, lines([['x', 'a', 'b']]))).rejects.toMatchObject({
    code: '22P02',
  });
  await expect(copyIn(client, 'COPY nowhere FROM STDIN', lines([]))).rejects.toMatchObject({
    code: '42P01',
  });
  expect((await client.query('SELECT count(*)::int AS n FROM copied')).rows).toEqual([{ n: 0 }]);
});

test('a server that ends the session fails it', async () => {
  const doomed = await connect(database.url, { applicationName: 'banyan-test' });
  const { rows } = await doomed.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  await client.query('BEGIN');
  await client.query('LOCK TABLE copied IN ACCESS EXCLUSIVE MODE');
  const copying = copyIn(doomed, COPY, lines([['9', 'a', 'b']]));
  await client.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid]);
  await expect(copying).rejects.toBeInstanceOf(Error);
  await client.query('COMMIT');
  await doomed.end().catch(() => undefined);
});
