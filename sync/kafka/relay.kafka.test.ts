// Relays as processes, a real broker and a real PostgreSQL: whoever is killed or stands still when, a
// topic holds every change in order and without a gap, and another relay goes on soon.
// `KILLS=n` for more of them, `SEED=n` for a schedule.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { sleep, waitFor } from '../../core/lifecycle.ts';
import { connect } from '../../core/postgres/connect.ts';
import type { RelayLine } from '../../control/relay-reports.ts';
import { testKafka, type TestKafka } from '../../test/support/kafka.ts';
import { readTopic } from '../../test/support/kafka-records.ts';
import { createPair, SESSION, type Pair } from '../../test/support/pair.ts';
import { randomOf, seeds } from '../../test/support/random.ts';
import {
  countedIn,
  expectGapless,
  firstOnes,
  holderOf,
  holesIn,
  overKafka,
  readUpTo,
  startCounting,
  type Counting,
  type RelayPair,
} from '../../test/support/relay.ts';
import { leftovers } from '../../test/support/sync.ts';
import { cases, longTest } from '../../test/support/long.ts';

const KILLS = Number(process.env['KILLS'] ?? 2);
/** Ten seconds are promised; a machine that is busy with other tests has three times as long. */
const TAKEOVER_MS = 10_000 * 3;

let kafka: TestKafka;
let own: Pair;
let pair: RelayPair;
let counting: Counting | undefined;

beforeAll(async () => {
  kafka = await testKafka();
}, 120_000);

afterAll(async () => {
  await kafka.remove();
});

beforeEach(async () => {
  own = await createPair();
});

afterEach(async () => {
  await counting?.stop();
  counting = undefined;
  await pair.end();
  await own.close();
  // One that was down when its test failed.
  await kafka.start();
});

async function begin(options: Parameters<typeof overKafka>[2] = {}): Promise<string> {
  pair = overKafka(own, kafka, options);
  await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
  return options.layout === 'table' ? `${pair.prefix}.public.prd` : `${pair.prefix}.changes`;
}

/** Waits until what was committed before this call is with the brokers. */
async function caughtUp(): Promise<void> {
  const { rows } = await own.monolith.query<{ at: string }>('SELECT pg_current_wal_lsn() AS at');
  await waitFor(
    async () => {
      const found = await own.monolith.query(
        `SELECT 1 FROM pg_replication_slots
          WHERE database = current_database() AND confirmed_flush_lsn >= $1`,
        [rows[0]?.at],
      );
      return found.rows.length > 0;
    },
    { timeoutMs: 60_000, everyMs: 50, what: 'the relay to catch up' },
  );
}

/** Waits until a relay works; gives its process. */
async function working(not = 0): Promise<number> {
  return waitFor(
    async () => {
      const line = await pair.line();
      const pid = holderOf(line);
      return line?.status === 'running' && line.reportAgeMs < 3_000 && pid !== not ? pid : false;
    },
    { timeoutMs: 60_000, what: 'a relay to work' },
  );
}

/** Sends the relay that works a signal; gives after how long another one had its term, by the control database's clock. */
async function takeoverMs(pid: number, signal: 'SIGSTOP' | 'SIGKILL'): Promise<number> {
  const { rows } = await own.db.raw<{ rows: { since: string; term: string }[] }>(
    'SELECT clock_timestamp()::text AS since, coalesce(max(term), 0)::text AS term FROM banyan.relay_term',
  );
  const [before] = rows;
  process.kill(pid, signal);
  const next = await waitFor(
    async () => {
      const found = await own.db.raw<{ rows: { ms: number }[] }>(
        `SELECT (extract(epoch FROM began_at - ?::timestamptz) * 1000)::float8 AS ms
           FROM banyan.relay_term WHERE term > ? ORDER BY term LIMIT 1`,
        [before?.since ?? '', before?.term ?? '0'],
      );
      return found.rows[0];
    },
    { timeoutMs: 60_000, everyMs: 50, what: 'another relay to take over' },
  );
  return next.ms;
}

test.each(seeds(1))(
  `${KILLS} kills of relays and brokers under load leave no gap and no inversion (seed %i)`,
  async (seed) => {
    const random = randomOf(seed);
    const topic = await begin();
    pair.relay();
    pair.relay();
    counting = await startCounting(own);
    let killed = 0;
    for (let done = 0; done < KILLS; done++) {
      await caughtUp();
      await sleep(random() * 300);
      if (done % 4 === 1) {
        await kafka.kill();
        await kafka.start();
      } else {
        killed = await working(killed);
        process.kill(killed, 'SIGKILL');
        pair.relay();
      }
    }
    await caughtUp();
    const last = await counting.stop();
    counting = undefined;
    const records = await readUpTo(pair, topic, last);
    expect(countedIn(records)).toEqual(Array.from({ length: last }, (_, index) => index + 1));
    expect(holesIn(records)).toEqual([]);
  },
  120_000 + KILLS * 20_000,
);

test.each(cases(['changes', 'table'] as const, 'changes'))(
  'a relay that is killed, one that stands still, and one that wakes up: another takes over soon, and the topic of layout %s stays in order',
  async (layout) => {
    const topic = await begin({ layout, ...(layout === 'table' && { partitions: 2 }) });
    pair.relay();
    counting = await startCounting(own);
    const first = await working();
    pair.relay();
    await waitFor(async () => (await pair.line())?.standby, {
      timeoutMs: 30_000,
      what: 'the second relay to stand by',
    });

    // Stands still: its session lives on, and holds the slot.
    expect(await takeoverMs(first, 'SIGSTOP')).toBeLessThan(TAKEOVER_MS);
    await caughtUp();
    const second = await working(first);
    expect(
      (await own.db('banyan.relay_term').orderBy('term')).map(({ why }: { why: string }) => why),
    ).toEqual(['the slot was free', expect.stringContaining('stood still')]);

    // Wakes up in the middle of the other's work.
    process.kill(first, 'SIGCONT');
    await caughtUp();
    expect(await working()).toBe(second);

    // Killed: the slot is free at once.
    expect(await takeoverMs(second, 'SIGKILL')).toBeLessThan(TAKEOVER_MS);
    await caughtUp();
    expect(await working(second)).toBe(first);

    const last = await counting.stop();
    counting = undefined;
    await expectGapless(pair, topic, last);
  },
  240_000,
);

longTest(
  'while Kafka is down the source holds its WAL, status and log say so, and everything arrives afterwards',
  async () => {
    const downMs = Number(process.env['DOWN_S'] ?? 3) * 1_000;
    const topic = await begin({ sync: { walAlarmBytes: 65_536 } });
    const relay = pair.relay();
    counting = await startCounting(own);
    await caughtUp();
    await kafka.kill();
    const since = performance.now();
    const down = await waitFor(
      async () => {
        const line = await pair.line();
        return line?.status === 'retrying' && (line.behindBytes ?? 0) > 65_536 && line;
      },
      { timeoutMs: 60_000, what: 'the outage to be reported' },
    );
    expect(down.errorCode).toBe('KAFKA_UNREACHABLE');
    expect(down.retainedBytes).toBeGreaterThan(65_536);
    await waitFor(
      () => relay.stderr().includes('the source keeps WAL for a relay that is behind'),
      {
        timeoutMs: 30_000,
        what: 'the alarm',
      },
    );
    await sleep(Math.max(0, downMs - (performance.now() - since)));
    const late = await pair.line();
    expect(late?.behindMs).toBeGreaterThan(downMs * 0.8);
    await kafka.start();
    await caughtUp();
    const last = await counting.stop();
    counting = undefined;
    const again = await expectGapless(pair, topic, last);
    expect(again).toBeLessThan(last);
    await waitFor(async () => (await pair.line())?.status === 'running', {
      timeoutMs: 30_000,
      what: 'the relay to say that it works',
    });
    expect((await pair.line())?.error).toBeNull();
  },
  600_000,
);

test('a transaction that is larger than what may be on its way comes whole', async () => {
  const topic = await begin();
  pair.relay();
  await own.monolith.query(
    `INSERT INTO prd (prd_id, no, nm, dsc, prc) SELECT 100 + i, 'N' || i, 'n', repeat('x', 4000), 1 FROM generate_series(1, 15000) i`,
  );
  counting = await startCounting(own);
  const last = await counting.stop();
  counting = undefined;
  const records = await readUpTo(pair, topic, last);
  expect(holesIn(records)).toEqual([]);
  expect(firstOnes(records).fresh.filter(({ value }) => value?.includes('"nm":"n"'))).toHaveLength(
    15_000,
  );
}, 120_000);

test('rows of an outbox table are events in commit order, and nothing of ours is left when the last flow ends', async () => {
  const [first, second] = [
    await connect(own.monolithAppUrl, SESSION),
    await connect(own.monolithAppUrl, SESSION),
  ];
  await first.query(
    `CREATE TABLE outbox (id integer PRIMARY KEY, aggregatetype text, aggregateid text, type text, payload jsonb)`,
  );
  await begin({
    outbox: [
      {
        table: 'outbox',
        additional: [{ column: 'type', placement: 'header', alias: 'eventType' }],
      },
    ],
  });
  const relay = pair.relay('--metrics-port', '0');
  const put = (id: number): string =>
    `INSERT INTO outbox VALUES (${id}, 'order-${own.tag}', 'o1', 'Placed', '{"n": ${id}}')`;
  // Numbers are not the order of commits.
  await first.query(`BEGIN; ${put(1)}`);
  await second.query(put(2));
  await first.query('COMMIT');
  // One that cannot be an event: its topic would have too long a name.
  await second.query(`INSERT INTO outbox VALUES (4, repeat('x', 300), 'o1', 'Placed', '{"n": 4}')`);
  await second.query(`${put(3)}; DELETE FROM outbox`);
  await first.end();
  await second.end();
  await caughtUp();
  const events = await readTopic(pair.client, `outbox.event.order-${own.tag}`);
  expect(
    events.map(({ key, value, headers }) => [key, value, headers['id'], headers['eventType']]),
  ).toEqual([2, 1, 3].map((id) => ['"o1"', `"{\\"n\\": ${id}}"`, String(id), 'Placed']));

  const [letter] = await readTopic(pair.client, `${pair.prefix}.dead-letters`);
  expect(letter?.key).toBe('{"id":"4"}');
  expect(letter?.headers['banyan.error']).toMatch(/is no name of a topic$/);
  await waitFor(async () => (await pair.line())?.letters === 1, {
    timeoutMs: 30_000,
    what: 'the letter to be reported',
  });
  const [line] = JSON.parse(await pair.says('--json', 'relay', 'status')) as RelayLine[];
  expect(line).toMatchObject({ source: 'monolith', status: 'running', errorCode: null });
  const { metrics } = JSON.parse(relay.stdout()) as { metrics: string };
  const figures = await (await fetch(metrics)).text();
  expect(figures).toMatch(/^banyan_relay_active\{source="monolith"\} 1$/m);
  expect(figures).toMatch(/^banyan_relay_dead_letters_total\{source="monolith"\} 1$/m);
  expect(figures).toMatch(/^banyan_relay_bytes_total\{source="monolith"\} [1-9]/m);
  expect(figures).toMatch(/^banyan_relay_confirmed_lsn\{source="monolith"\} [1-9]/m);
  expect(await pair.says('sync', 'status')).toMatch(/^monolith +running +no /m);

  await pair.coordinator().move({ capability: 'catalog', event: 'rollback' });
  expect(await leftovers(own)).toEqual([]);
  expect(await pair.line()).toBeUndefined();
  const errors = relay
    .stderr()
    .split('\n')
    .filter((one) => one.includes('"level":"error"'));
  expect(errors).toEqual([expect.stringContaining('it is a dead letter')]);
});
