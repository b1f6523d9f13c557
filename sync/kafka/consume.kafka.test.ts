// The whole way over a real Kafka: source, relay, topic, target, with a mapping. Everything that holds
// for a slot holds here, by configuration only; what retention deletes stops a flow and is copied anew.
import { afterEach, beforeAll, expect, test } from '@jest/globals';
import kafkajs from 'kafkajs';
import { waitFor } from '../../core/lifecycle.ts';
import { flowNames } from '../../control/domain/names.ts';
import { RelayReports } from '../../control/relay-reports.ts';
import { shopViews, writeLoad } from '../../test/support/load.ts';
import { sharedKafka, type SharedKafka } from '../../test/support/kafka.ts';
import type { Pair } from '../../test/support/pair.ts';
import { relayedPair, relayShop, startRelay } from '../../test/support/relayed.ts';
import { changesTopic, type ChangesTopic } from '../../test/support/retention.ts';
import {
  advanceTo,
  equal,
  leftovers,
  startSync,
  stopped,
  streaming,
  type RunningSync,
} from '../../test/support/sync.ts';

let kafka: SharedKafka;
let pair: Pair;
let topic: ChangesTopic;
let relay: RunningSync | undefined;
let sync: RunningSync | undefined;

beforeAll(async () => {
  kafka = await sharedKafka();
}, 120_000);
afterEach(async () => {
  await sync?.stop();
  await relay?.stop();
  [sync, relay] = [undefined, undefined];
  await pair.close();
});

/** Changes travel; nobody reads them yet. */
async function relayed(): Promise<void> {
  pair = await relayedPair(kafka);
  topic = changesTopic(kafka, pair);
  relay = await relayShop(pair);
}

async function begin(): Promise<void> {
  await relayed();
  sync = startSync(pair);
}

interface Stored {
  readonly topic: string;
  readonly next: string;
}

async function stored(): Promise<readonly Stored[]> {
  const { rows } = await pair.service.query<Stored>(
    'SELECT topic, next_offset::text AS next FROM banyan.log_offset ORDER BY topic, partition',
  );
  return rows;
}

test('carries a copy under load, a switch, the way back and what stays; and leaves nothing behind', async () => {
  await begin();
  await writeLoad(pair, 1, 150);
  await streaming(pair, 'to');
  await equal(pair, () => shopViews(pair));
  await advanceTo(pair, 'canary');
  await streaming(pair, 'to');
  const rehearsal = await pair.coordinator().rehearse('catalog');
  expect(rehearsal).toMatchObject({ owner: 'monolith', attempts: 1, bypasses: [] });
  await advanceTo(pair, 'cutover');
  await pair.service.query(`UPDATE product SET name = 'from the service' WHERE id < 50`);
  await pair.monolith.query(`UPDATE prd SET stk = stk + 3 WHERE prd_id < 60`);
  await streaming(pair, 'back');
  await streaming(pair, 'to');
  await equal(pair, () => shopViews(pair));
  const { rows } = await pair.monolith.query<{ slot_name: string }>(
    'SELECT slot_name FROM pg_replication_slots WHERE database = current_database()',
  );
  expect(rows.map(({ slot_name: name }) => name)).toEqual([expect.stringMatching(/relay/)]);

  const back = (): Promise<unknown> =>
    pair.coordinator().move({ capability: 'catalog', event: 'rollback' });
  for (let step = 0; step < 6; step++) {
    if ((await pair.store.readOne('catalog')).phase === 'monolith') break;
    await back();
  }
  expect((await pair.store.readOne('catalog')).phase).toBe('monolith');
  expect(await leftovers(pair)).toEqual([]);
}, 120_000);

test('abort after a cutover brings everything back over the relays, and leaves nothing behind', async () => {
  await begin();
  await streaming(pair, 'to');
  await advanceTo(pair, 'cutover');
  await pair.service.query(`UPDATE product SET name = 'by the service' WHERE id = 1`);
  await streaming(pair, 'back');
  await streaming(pair, 'to');
  expect(await pair.coordinator().abort({ capability: 'catalog' })).toMatchObject({
    ...{ from: 'cutover', to: 'monolith', lost: [], serviceLeft: false },
  });
  expect(await leftovers(pair)).toEqual([]);
  await equal(pair, () => shopViews(pair));
  const { rows } = await pair.monolith.query('SELECT nm FROM prd WHERE prd_id = 1');
  expect(rows).toEqual([{ nm: 'by the service' }]);
}, 120_000);

test('an idle flow notes where to go on, so that retention takes nothing that it needs', async () => {
  await begin();
  await streaming(pair, 'to');
  const before = await topic.end();
  await waitFor(async () => BigInt((await stored())[0]?.next ?? 0) > before, {
    timeoutMs: 30_000,
    what: 'the offset to be noted though only heartbeats come',
  });
  await sync?.stop();
  await topic.forget(BigInt((await stored())[0]?.next ?? 0));
  await writeLoad(pair, 2, 20);
  sync = startSync(pair);
  await streaming(pair, 'to');
  await equal(pair, () => shopViews(pair));
});

test('a flow that was away for longer than its topic keeps records goes on where it has missed nothing', async () => {
  await begin();
  await streaming(pair, 'to');
  await sync?.stop();
  // What is nothing to the flow: its source is at work, on tables of others.
  await topic.written('CREATE TABLE not_ours AS SELECT generate_series(1, 1000) AS i');
  await topic.forget(await topic.end());
  await pair.monolith.query(`UPDATE prd SET nm = 'comes' WHERE prd_id = 1`);
  sync = startSync(pair);
  await streaming(pair, 'to');
  await equal(pair, () => shopViews(pair));
});

test('what retention has deleted before a flow read it stops the flow, which is copied anew', async () => {
  await begin();
  await streaming(pair, 'to');
  await sync?.stop();
  await topic.written(`UPDATE prd SET nm = 'lost on the way' WHERE prd_id = 1`);
  await topic.forget(await topic.end());
  sync = startSync(pair);
  const { code, error } = await stopped(pair, 'to');
  expect(code).toBe('KAFKA_LOG_LOST');
  expect(error).toMatch(/comes behind the transaction that committed at/);
  await pair.coordinator().move({ capability: 'catalog', event: 'rollback' });
  await pair.coordinator().move({ capability: 'catalog', event: 'advance', replaceTarget: true });
  await streaming(pair, 'to');
  await equal(pair, () => shopViews(pair));
});

test('a topic that was deleted is not filled anew behind what its readers lack', async () => {
  await begin();
  await streaming(pair, 'to');
  await sync?.stop();
  await relay?.stop();
  const admin = new kafkajs.Kafka({
    brokers: [...kafka.connection.brokers],
    logLevel: kafkajs.logLevel.NOTHING,
  }).admin();
  await admin.connect();
  await admin.deleteTopics({ topics: [topic.name] });
  await admin.disconnect();
  await writeLoad(pair, 3, 20);
  relay = startRelay(pair);
  const line = await waitFor(
    async () => {
      const [found] = await new RelayReports(pair.db).lines();
      return found?.status === 'stopped' && found;
    },
    { timeoutMs: 30_000, what: 'the relay to refuse' },
  );
  expect(line).toMatchObject({ errorCode: 'KAFKA_LOG_LOST' });
  expect(line.error).toMatch(/the topics have nothing of it/);
  expect(await topic.end()).toBe(0n);
  sync = startSync(pair);
  expect(await stopped(pair, 'to')).toMatchObject({ code: 'KAFKA_LOG_LOST' });
  // What the hint says mends it.
  await pair.coordinator().move({ capability: 'catalog', event: 'rollback' });
  await pair.coordinator().move({ capability: 'catalog', event: 'advance', replaceTarget: true });
  await streaming(pair, 'to');
  await equal(pair, () => shopViews(pair));
});

test('whole transactions that went before a flow first looked are missed by it', async () => {
  await relayed();
  await topic.written(`UPDATE prd SET nm = 'lost on the way' WHERE prd_id = 1`);
  await topic.forget(await topic.end());
  await pair.monolith.query(`UPDATE prd SET nm = 'comes' WHERE prd_id = 2`);
  sync = startSync(pair);
  const { code, error } = await stopped(pair, 'to');
  expect(code).toBe('KAFKA_LOG_LOST');
  expect(error).toMatch(/comes behind the transaction that committed at/);
});

test('a flow that began with a slot of its own does not go on by topics', async () => {
  await begin();
  await streaming(pair, 'to');
  await sync?.stop();
  const { slot } = flowNames('catalog', 'to', {
    source: pair.monolith.database ?? '',
    target: pair.service.database ?? '',
  });
  await pair.monolith.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
  sync = startSync(pair);
  const { code, error } = await stopped(pair, 'to');
  expect(code).toBe('FLOW_STOPPED');
  expect(error).toMatch(/changeLog is Kafka now/);
  await pair.monolith.query('SELECT pg_drop_replication_slot($1)', [slot]);
});

test('a relay whose slot is gone stops the flows that rest on it', async () => {
  await begin();
  await streaming(pair, 'to');
  await relay?.stop();
  relay = undefined;
  await pair.monolith.query(
    `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()`,
  );
  expect(await stopped(pair, 'to')).toMatchObject({ code: 'SLOT_LOST' });
});
