// That the engine which other suites hold us against runs here, and says what its documentation says.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { withClient } from '../core/postgres/connect.ts';
import { startDebezium, type Debezium } from './support/debezium.ts';
import { createDatabase, type TestDatabase } from './support/postgres.ts';

let database: TestDatabase;
let debezium: Debezium | undefined;

beforeAll(async () => {
  database = await createDatabase('debezium');
});
afterAll(async () => {
  await debezium?.stop();
  await database.drop();
});

const run = (statements: string): Promise<unknown> =>
  withClient(database.url, { applicationName: 'test' }, (client) => client.query(statements));

test("Debezium's engine gives its envelopes of inserts, key changes and deletes", async () => {
  await run('CREATE TABLE item (id int PRIMARY KEY, name text)');
  debezium = await startDebezium({ url: database.url, prefix: 'shop' });
  await run(`INSERT INTO item VALUES (1, 'ä')`);
  await run('UPDATE item SET id = 2');
  await run('DELETE FROM item');
  await debezium.until(({ key, value }) => key === '{"id":2}' && value === null);
  const seen = debezium.records.map(({ topic, key, value, headers }) => {
    const { op, before, after } = (value === null ? {} : JSON.parse(value)) as Record<
      string,
      unknown
    >;
    return {
      topic,
      key,
      op,
      before,
      after,
      headers: Object.keys(headers).filter((name) => !name.startsWith('__debezium.context.')),
    };
  });
  const at = { topic: 'shop.public.item', headers: [] };
  const tombstone = { op: undefined, before: undefined, after: undefined };
  expect(seen).toEqual([
    { ...at, key: '{"id":1}', op: 'c', before: null, after: { id: 1, name: 'ä' } },
    {
      ...{ ...at, key: '{"id":1}', op: 'd', before: { id: 1, name: null }, after: null },
      headers: ['__debezium.newkey'],
    },
    { ...at, key: '{"id":1}', ...tombstone, headers: ['__debezium.newkey'] },
    {
      ...{ ...at, key: '{"id":2}', op: 'c', before: null, after: { id: 2, name: 'ä' } },
      headers: ['__debezium.oldkey'],
    },
    { ...at, key: '{"id":2}', op: 'd', before: { id: 2, name: null }, after: null },
    { ...at, key: '{"id":2}', ...tombstone },
  ]);
}, 180_000);
