// What a flow asks at its source, beside a connector's topics.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { withClient } from '../../core/postgres/connect.ts';
import { createDatabase, type TestDatabase } from '../../test/support/postgres.ts';
import { ConnectorWatch } from './connector-watch.ts';

let database: TestDatabase;
let watch: ConnectorWatch;

const query = (sql: string): Promise<unknown> =>
  withClient(database.url, { applicationName: 'banyan-test' }, (client) =>
    client.query(sql, [database.name]),
  );

beforeEach(async () => {
  database = await createDatabase('connector');
  await query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`);
  const { url, name: slot } = database;
  watch = await ConnectorWatch.open({
    ...{ url, slot, watchUrl: url, capability: 'catalog', backOrigin: 'none' },
  });
});

afterEach(async () => {
  await watch.close();
  await database.drop();
});

test("a connector's slot that is gone is not taken for one that has confirmed nothing", async () => {
  expect(await watch.confirmed()).toBeGreaterThan(0n);
  await query('SELECT pg_drop_replication_slot($1)');
  await expect(watch.confirmed()).rejects.toMatchObject({ code: 'SLOT_LOST' });
});
