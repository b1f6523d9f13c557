// What a relay says of all that it has written: runs that end, and processes that follow each other, count on.
import { afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../../core/lifecycle.ts';
import type { RelayLine } from '../../control/relay-reports.ts';
import { sharedKafka, type SharedKafka } from '../../test/support/kafka.ts';
import { createOwned } from '../../test/support/owned.ts';
import { createPair, type Pair } from '../../test/support/pair.ts';
import { overKafka, type RelayPair } from '../../test/support/relay.ts';
import { startRelay } from '../../test/support/relayed.ts';
import type { RunningSync } from '../../test/support/sync.ts';

let kafka: SharedKafka;
let own: Pair;
let pair: RelayPair;
let relays: RunningSync[] = [];

beforeAll(async () => {
  kafka = await sharedKafka();
}, 120_000);

beforeEach(async () => {
  own = await createPair();
});

afterEach(async () => {
  for (const relay of relays) await relay.stop();
  relays = [];
  await pair.end();
  await own.close();
});

function start(): RunningSync {
  const relay = startRelay(pair);
  relays.push(relay);
  return relay;
}

const ROWS = 200;
/** As many changes, and a row of an outbox that cannot be an event. */
const MUCH = `
  INSERT INTO prd (prd_id, no, nm, prc) SELECT i, 'N' || i, 'n', 1 FROM generate_series(1, ${ROWS}) i;
  INSERT INTO outbox (id, aggregatetype, aggregateid, payload) VALUES (1, repeat('x', 300), 'a', 'p')`;

/** Its report once that covers what was committed before this call, and comes from a relay that works. */
async function reported(not?: RelayLine): Promise<RelayLine> {
  const { rows } = await own.monolith.query<{ at: string }>('SELECT pg_current_wal_lsn() AS at');
  return waitFor(
    async () => {
      const line = await pair.line();
      if (line?.status !== 'running' || line.holder === not?.holder) return false;
      const { rows: reached } = await own.monolith.query<{ is: boolean | null }>(
        'SELECT $1::pg_lsn >= $2::pg_lsn AS is',
        [line.confirmed, rows[0]?.at],
      );
      return reached[0]?.is === true && line;
    },
    { timeoutMs: 60_000, what: 'the relay to report all of it' },
  );
}

/** The session by which a relay reads; it is another one in each run. */
async function session(): Promise<number | null | undefined> {
  const { rows } = await own.monolith.query<{ pid: number | null }>(
    'SELECT active_pid AS pid FROM pg_replication_slots WHERE database = current_database()',
  );
  return rows[0]?.pid;
}

async function begin(): Promise<void> {
  await createOwned(own, 'outbox');
  await own.monolith.query(
    'ALTER TABLE outbox ADD aggregatetype text, ADD aggregateid text, ADD payload text',
  );
  pair = overKafka(own, kafka, { outbox: [{ table: 'outbox' }] });
  await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
}

function expectMore(after: RelayLine, before: RelayLine): void {
  expect(before.written).toBeGreaterThan(ROWS);
  expect(before.letters).toBeGreaterThan(0);
  expect(after.written).toBeGreaterThan(before.written);
  expect(after.bytes).toBeGreaterThan(before.bytes);
  expect(after.letters).toBeGreaterThanOrEqual(before.letters);
}

test('a run that ended with an error is counted in the next one', async () => {
  await begin();
  start();
  await own.monolith.query(MUCH);
  const before = await reported();
  const ended = await session();
  await own.monolith.query('SELECT pg_terminate_backend($1)', [ended]);
  await waitFor(
    async () => {
      const now = await session();
      return typeof now === 'number' && now !== ended;
    },
    { timeoutMs: 30_000, what: 'the next run to begin' },
  );
  await own.monolith.query('UPDATE prd SET stk = 1 WHERE prd_id = 1');
  expectMore(await reported(), before);
});

test('what one process has written counts in the process that takes over', async () => {
  await begin();
  const first = start();
  await own.monolith.query(MUCH);
  const before = await reported();
  start();
  await waitFor(async () => (await pair.line())?.standby, {
    timeoutMs: 30_000,
    what: 'the second relay to stand by',
  });
  await first.stop();
  await own.monolith.query('UPDATE prd SET stk = 1 WHERE prd_id = 1');
  expectMore(await reported(before), before);
});
