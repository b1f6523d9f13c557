// What retention deletes while a flow is away, or all of its topic: the flow goes on where none of it was
// its own, and stops where any was. Another capability is at work in the same source all the time.
import { afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { relayNames } from '../../control/domain/names.ts';
import { shopViews } from '../../test/support/load.ts';
import { sharedKafka, type SharedKafka } from '../../test/support/kafka.ts';
import type { Pair } from '../../test/support/pair.ts';
import { relayedPair, relayShop, startRelay } from '../../test/support/relayed.ts';
import { changesTopic, type ChangesTopic } from '../../test/support/retention.ts';
import { equal, startSync, stopped, streaming, type RunningSync } from '../../test/support/sync.ts';

let kafka: SharedKafka;
let pair: Pair;
let topic: ChangesTopic;
let relay: RunningSync | undefined;
let sync: RunningSync | undefined;

beforeAll(async () => {
  kafka = await sharedKafka();
}, 120_000);

beforeEach(async () => {
  pair = withOrdering(await relayedPair(kafka));
  topic = changesTopic(kafka, pair);
  relay = await relayShop(pair);
  const { publication } = relayNames(pair.monolith.database ?? '');
  await pair.monolith.query(`ALTER PUBLICATION ${publication} ADD TABLE ordl`);
  sync = startSync(pair);
  await streaming(pair, 'to');
});

afterEach(async () => {
  await sync?.stop();
  await relay?.stop();
  [sync, relay] = [undefined, undefined];
  await pair.close();
});

/** The orders' lines are another capability's. */
function withOrdering(plain: Pair): Pair {
  const { migration } = plain;
  const { catalog } = migration.capabilities;
  if (!catalog) throw new Error('no catalog');
  const ordering: typeof catalog = {
    ...catalog,
    tables: catalog.tables.slice(0, 1).map((table) => ({ ...table, monolith: ['ordl'] })),
  };
  return { ...plain, migration: { ...migration, capabilities: { catalog, ordering } } };
}

interface Checkpoint {
  readonly lsn: string;
  readonly next: string;
}

async function checkpoint(): Promise<Checkpoint | undefined> {
  const { rows } = await pair.service.query<Checkpoint>(
    'SELECT c.commit_lsn::text AS lsn, o.next_offset::text AS next FROM banyan.checkpoint c JOIN banyan.log_offset o USING (flow)',
  );
  return rows[0];
}

const ORDER = 'INSERT INTO ordl SELECT i, 1 FROM generate_series(1, 3) i';
const OWN = `UPDATE prd SET nm = 'lost on the way' WHERE prd_id = 1`;

async function goesOn(): Promise<void> {
  sync = startSync(pair);
  await streaming(pair, 'to');
  await pair.monolith.query(`UPDATE prd SET nm = 'comes' WHERE prd_id = 1`);
  await equal(pair, () => shopViews(pair));
}

async function isLost(): Promise<void> {
  sync = startSync(pair);
  const { code, error } = await stopped(pair, 'to');
  expect(code).toBe('KAFKA_LOG_LOST');
  expect(error).toMatch(/what is next of catalog comes behind the transaction/);
}

test('changes of other capabilities that are gone are missed by nobody', async () => {
  await sync?.stop();
  await topic.written(ORDER);
  await topic.forget(await topic.end());
  await topic.written(ORDER);
  await goesOn();
});

test('a change of its own that is gone between those of others stops the flow, however late it looks', async () => {
  await sync?.stop();
  await topic.written(ORDER);
  await topic.written(OWN);
  await topic.forget(await topic.end());
  await topic.written(ORDER);
  const before = await checkpoint();
  await isLost();
  await sync?.stop();
  // It has not come past that by having looked.
  expect(await checkpoint()).toEqual(before);
});

test('where relay and flow were both away until the whole topic was gone, both go on', async () => {
  await sync?.stop();
  await topic.written(ORDER);
  await relay?.stop();
  await topic.forget(await topic.end());
  relay = startRelay(pair);
  await goesOn();
});

test('what a flow lacks of a topic that is gone is found behind a relay that begins anew', async () => {
  await sync?.stop();
  await topic.written(OWN);
  await topic.written(ORDER);
  await relay?.stop();
  await topic.forget(await topic.end());
  relay = startRelay(pair);
  await isLost();
});

test('a flow that ends notes how far it has looked, also where nothing was its own', async () => {
  await topic.written(ORDER);
  const end = await topic.end();
  await streaming(pair, 'to');
  await sync?.stop();
  expect(BigInt((await checkpoint())?.next ?? 0)).toBeGreaterThanOrEqual(end);
});
