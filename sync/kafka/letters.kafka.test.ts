// A row of an outbox that can be no event: one dead letter, and the rest goes on. Where their topic takes none, the
// relay stands before that row and says so, what came before it is there, and nothing is lost or sent twice.
import { afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import kafkajs from 'kafkajs';
import { waitFor } from '../../core/lifecycle.ts';
import { parseLsn } from '../../core/postgres/lsn.ts';
import type { RelayLine } from '../../control/relay-reports.ts';
import { sharedKafka, type SharedKafka } from '../../test/support/kafka.ts';
import { readTopic } from '../../test/support/kafka-records.ts';
import { createOwned } from '../../test/support/owned.ts';
import { createPair, type Pair } from '../../test/support/pair.ts';
import { overKafka, type RelayPair } from '../../test/support/relay.ts';
import { startRelay } from '../../test/support/relayed.ts';
import type { RunningSync } from '../../test/support/sync.ts';

let kafka: SharedKafka;
let own: Pair;
let pair: RelayPair;
let relay: RunningSync | undefined;

beforeAll(async () => {
  kafka = await sharedKafka();
}, 120_000);

beforeEach(async () => {
  own = await createPair();
  await createOwned(own, 'outbox');
  await own.monolith.query(
    'ALTER TABLE outbox ADD aggregatetype text, ADD aggregateid text, ADD payload text',
  );
});

afterEach(async () => {
  await relay?.stop();
  relay = undefined;
  await pair.end();
  await own.close();
});

async function administered(work: (admin: kafkajs.Admin) => Promise<unknown>): Promise<void> {
  const admin = new kafkajs.Kafka({
    brokers: [...kafka.connection.brokers],
    logLevel: kafkajs.logLevel.NOTHING,
  }).admin();
  await admin.connect();
  await work(admin);
  await admin.disconnect();
}

const line = (what: string, is: (found: RelayLine) => boolean): Promise<RelayLine> =>
  waitFor(
    async () => {
      const found = await pair.line();
      return found && is(found) ? found : undefined;
    },
    { timeoutMs: 30_000, what },
  );

const change = (name: string): string =>
  `INSERT INTO prd (prd_id, no, nm, prc) VALUES (${name.length}, '${name}', '${name}', 1)`;

/** Names of the products that have come. */
const values = async (): Promise<string[]> =>
  (await readTopic(pair.client, `${pair.prefix}.changes`)).flatMap(
    ({ value }) => /"nm":"(\w+)"/.exec(value ?? '')?.[1] ?? [],
  );

const LITTLE = '200';

test('a topic of dead letters that takes none holds up what comes behind it, and nothing else', async () => {
  pair = overKafka(own, kafka, { outbox: [{ table: 'outbox' }] });
  const letters = `${pair.prefix}.dead-letters`;
  const tooLittle = [{ name: 'max.message.bytes', value: LITTLE }];
  await administered((admin) =>
    admin.createTopics({ topics: [{ topic: letters, configEntries: tooLittle }] }),
  );
  await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
  // In one stretch of the log: what comes first is not to wait for what comes after.
  await own.monolith.query(change('one'));
  const { rows } = await own.monolith.query<{ at: string }>('SELECT pg_current_wal_lsn() AS at');
  await own.monolith.query(
    `INSERT INTO outbox (id, aggregatetype, aggregateid, payload) VALUES (1, repeat('x', 300), repeat('k', 400), 'p')`,
  );
  await own.monolith.query(change('four'));
  relay = startRelay(pair);

  const stopped = await line(
    'the relay to say why it stands',
    ({ status }) => status === 'stopped',
  );
  expect(stopped.errorCode).toBe('KAFKA_REFUSED');
  expect(stopped.error).toMatch(
    new RegExp(
      `^topic ${letters.replaceAll('.', '\\.')} takes ${LITTLE} bytes, too few .*nothing is lost`,
    ),
  );
  expect(await values()).toEqual(['one']);
  const { rows: slots } = await own.monolith.query<{ at: string }>(
    'SELECT confirmed_flush_lsn AS at FROM pg_replication_slots WHERE database = current_database()',
  );
  expect(parseLsn(slots[0]?.at ?? '')).toBeGreaterThanOrEqual(parseLsn(rows[0]?.at ?? ''));

  await administered((admin) =>
    admin.alterConfigs({
      validateOnly: false,
      resources: [
        {
          type: kafkajs.ConfigResourceTypes.TOPIC,
          name: letters,
          configEntries: [{ name: 'max.message.bytes', value: '5000' }],
        },
      ],
    }),
  );
  await line('the relay to go on by itself', ({ status }) => status === 'running');
  await waitFor(async () => (await values()).length > 1, {
    timeoutMs: 30_000,
    what: 'the rest to come',
  });
  expect(await values()).toEqual(['one', 'four']);
  const [letter, ...more] = await readTopic(pair.client, letters);
  expect(letter?.headers['banyan.error']).toMatch(/is no name of a topic$/);
  expect(JSON.parse(letter?.value ?? '')).toMatchObject({ id: '1', payload: 'p' });
  expect(more).toEqual([]);
});

test('a row that is larger than a topic takes is a dead letter once, and holds nobody up', async () => {
  pair = overKafka(own, kafka, { outbox: [{ table: 'outbox' }], maxMessageBytes: 1_048_576 });
  await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
  const event = (id: number, bytes: number): string =>
    `INSERT INTO outbox (id, aggregatetype, aggregateid, payload) VALUES (${id}, 'order-${own.tag}', 'k', repeat('x', ${bytes}))`;
  for (const sql of [event(1, 1_200_000), change('four'), event(2, 5)])
    await own.monolith.query(sql);
  relay = startRelay(pair);
  await waitFor(async () => (await values()).length > 0, {
    timeoutMs: 30_000,
    what: 'what comes behind it',
  });
  const found = await line('the relay to count it', ({ letters }) => letters > 0);
  expect(found).toMatchObject({ status: 'running', errorCode: null, letters: 1 });
  const letters = await readTopic(pair.client, `${pair.prefix}.dead-letters`);
  expect(letters.map(({ headers }) => headers['banyan.error'])).toEqual([
    expect.stringMatching(/^it has 1\d{6} bytes, and a topic takes 1048576$/),
  ]);
  const events = await readTopic(pair.client, `outbox.event.order-${own.tag}`);
  expect(events.map(({ headers }) => headers['id'])).toEqual(['2']);
});
