// The last flow of a source goes while its outbox has events on their way: the move is done, and they come.
import { afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../../core/lifecycle.ts';
import { StateStore } from '../../control/store.ts';
import { sharedKafka, type SharedKafka } from '../../test/support/kafka.ts';
import { readTopic } from '../../test/support/kafka-records.ts';
import { createOwned } from '../../test/support/owned.ts';
import { createPair, type Pair } from '../../test/support/pair.ts';
import { overKafka, type RelayPair } from '../../test/support/relay.ts';
import { startRelay } from '../../test/support/relayed.ts';
import { leftovers, type RunningSync } from '../../test/support/sync.ts';

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
  pair = overKafka(own, kafka, { outbox: [{ table: 'outbox' }] });
  await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
});

afterEach(async () => {
  await relay?.stop();
  relay = undefined;
  await pair
    .coordinator()
    .giveUpEvents('monolith')
    .catch(() => undefined);
  await pair.end();
  await own.close();
});

const rollback = (): Promise<unknown> =>
  pair.coordinator().move({ capability: 'catalog', event: 'rollback' });

async function put(from: number, to = from): Promise<void> {
  await own.monolith.query(
    `INSERT INTO outbox SELECT id, 'order-${own.tag}', 'k', repeat('p', 100) FROM generate_series(${from}, ${to}) AS id`,
  );
}

const sent = async (): Promise<number[]> =>
  (await readTopic(pair.client, `outbox.event.order-${own.tag}`).catch(() => [])).map(
    ({ headers }) => Number(headers['id']),
  );

const gone = async (): Promise<void> => {
  await waitFor(async () => (await pair.coordinator().tidy('catalog')) || undefined, {
    timeoutMs: 60_000,
    everyMs: 500,
    what: 'the relay to be gone',
  });
  expect(await leftovers(own)).toEqual([]);
  await waitFor(async () => (await pair.line()) === undefined, {
    timeoutMs: 30_000,
    what: 'its report to be gone',
  });
};

test('what was committed before a rollback comes, however long Kafka was away', async () => {
  await put(1, 3);
  // Nobody brings anything to Kafka; the move is not held up by that for long.
  await rollback();
  expect((await pair.line())?.leaves).toMatch(/^[0-9A-F]+\/[0-9A-F]+$/);
  expect(await pair.says('relay', 'status')).toMatch(
    /^relay monolith: no flow needs it any more, .*`banyan relay give-up monolith`/m,
  );
  expect(await pair.coordinator().tidy('catalog')).toBe(false);
  expect(await leftovers(own)).toHaveLength(2);

  relay = startRelay(pair);
  await gone();
  expect(await sent()).toEqual([1, 2, 3]);
}, 120_000);

test('with a relay at work the last events before a rollback come, and nothing is left', async () => {
  relay = startRelay(pair);
  await put(1);
  await waitFor(async () => (await sent()).length === 1, { timeoutMs: 30_000, what: 'an event' });
  await put(2, 5_000);
  await rollback();
  expect(await leftovers(own)).toEqual([]);
  expect(await pair.line()).toBeUndefined();
  expect(await sent()).toHaveLength(5_000);
}, 120_000);

test('a relay works on where the coordinator died behind its change of state', async () => {
  relay = startRelay(pair);
  const store = new StateStore(own.db);
  const entry = { who: 'test', event: 'rollback', why: '', evidence: {} } as const;
  await store.change(await store.readOne('catalog'), { phase: 'monolith' }, entry);
  await put(1);
  await waitFor(async () => (await sent()).length === 1, { timeoutMs: 30_000, what: 'an event' });
  await gone();
}, 120_000);

test('what Kafka will never take is given up by name', async () => {
  await put(1);
  await rollback();
  const said = JSON.parse(
    await pair.says('--json', 'relay', 'give-up', 'monolith', '--why', 'Kafka is gone'),
  ) as object;
  expect(said).toEqual({ source: 'monolith', givenUp: true });
  expect(await leftovers(own)).toEqual([]);
  expect((await new StateStore(own.db).journal('catalog')).at(-1)).toMatchObject({
    ...{ event: 'give up events', why: 'Kafka is gone', evidence: { source: 'monolith' } },
  });
  await expect(pair.coordinator().giveUpEvents('monolith')).rejects.toMatchObject({
    code: 'MOVE_NOT_ALLOWED',
  });
}, 120_000);
