// What says that a target is complete, where a connector writes in transactions: their markers take
// offsets, and are no records; and where it makes topics and partitions that were not there.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { withClient } from '../../core/postgres/connect.ts';
import { HAND_FED, handFed, type HandFed } from '../../test/support/hand-fed.ts';
import { createDatabase, type TestDatabase } from '../../test/support/postgres.ts';
import { openConnectorLog, type ConnectorLog } from './connector-log.ts';

let database: TestDatabase;
let fed: HandFed;
let log: ConnectorLog;

const query = async (sql: string): Promise<{ text: string }[]> =>
  withClient(database.url, { applicationName: 'banyan-test' }, async (client) => {
    const { rows } = await client.query<{ text: string }>(sql);
    return rows;
  });

beforeEach(async () => {
  database = await createDatabase('connector');
  const { name: slot } = database;
  await query(`SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
  // As much of the participant's schema as is looked at.
  await query(`CREATE SCHEMA banyan`);
  await query(
    `CREATE TABLE banyan.ownership_change (capability text, epoch bigint, lsn pg_lsn, message text)`,
  );
  fed = handFed();
  log = await opened();
});

/** On topics of which the connector has not made these yet. */
async function opened(...missing: string[]): Promise<ConnectorLog> {
  const { name: slot, url } = database;
  const [{ text } = { text: '' }] = await query(
    `SELECT timeline_id::text AS text FROM pg_control_checkpoint()`,
  );
  const timeline = Number(text);
  const position = { timeline, commitLsn: 1n, seq: 0 };
  return openConnectorLog(
    {
      ...{ kafka: fed.kafka, groupId: 'g', topics: [HAND_FED.topic, ...missing], timeline },
      decode: () => ({ kind: 'other' }),
      admit: () => undefined,
      watch: { url, watchUrl: url, capability: 'catalog', slot, backOrigin: 'none' },
    },
    { position, mode: 'owner', barrier: 0 },
  );
}

afterEach(async () => {
  await log.close();
  await database.drop();
});

/** What the flow is given next; nothing where that takes too long. */
async function next(): Promise<string[]> {
  const pieces = await log.read(AbortSignal.timeout(30_000));
  return pieces.flatMap(({ changes }) =>
    changes.map((change) => (change.kind === 'message' ? change.content : change.kind)),
  );
}

const confirm = (): Promise<unknown> =>
  query(`SELECT pg_replication_slot_advance('${database.name}', pg_current_wal_insert_lsn())`);

const BEAT = { kind: 'heartbeat', flow: 'f', at: null, xmin: 1 } as const;

test.each([
  ['behind the last record', [0n, 1n], 3n],
  ['alone', [], 1n],
])('a heartbeat comes by where a marker stands %s', async (_, offsets, end) => {
  if (offsets.length > 0) await fed.feed(offsets, end);
  else fed.pass(end);
  await log.say(BEAT);
  await confirm();
  expect((await next()).map((content): unknown => JSON.parse(content))).toEqual([BEAT]);
});

test.each([
  ['a topic has', ['late'], 'late'],
  ['a partition has', [], 'partition 1'],
])(
  'what was confirmed may be the first that %s: the flow begins anew with it, and nothing is complete',
  async (_, missing, what) => {
    await log.close();
    log = await opened(...missing);
    await log.say(BEAT);
    for (const topic of missing) fed.come(topic);
    if (missing.length === 0) fed.grow();
    await confirm();
    await expect(next()).rejects.toMatchObject({
      code: 'KAFKA_UNREACHABLE',
      message: expect.stringContaining(what) as unknown,
    });
  },
);
