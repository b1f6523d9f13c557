// A relay between a real PostgreSQL and brokers that do whatever is needed: requests that fail in the
// middle, with and without having been written, brokers that stand still, networks that are cut, leases.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { KafkaClient, KafkaRecord } from '../../core/kafka/client.ts';
import { createLogger } from '../../core/log.ts';
import { waitFor } from '../../core/lifecycle.ts';
import { parseLsn, type Position } from '../../core/postgres/lsn.ts';
import { relayNames } from '../../control/domain/names.ts';
import type { RelayLife } from '../../control/domain/relay-life.ts';
import { joinRelay, leaveRelay, relayLife } from '../../control/relay.ts';
import type { RelayProgress } from '../../control/relay-reports.ts';
import { RelayTerms } from '../../control/relay-terms.ts';
import { Participant } from '../../control/participant.ts';
import { createPair, SESSION, type Pair } from '../../test/support/pair.ts';
import { startProxy, type Proxy } from '../../test/support/proxy.ts';
import { connect } from '../../core/postgres/connect.ts';
import { openControl } from '../../control/store.ts';
import type { Mark } from '../domain/debezium/position.ts';
import type { Piece } from '../domain/change.ts';
import { runRelay, type RelayOptions } from './relay.ts';
import type { Script } from './relay-work.ts';

let pair: Pair;
let source: Participant;
let life: RelayLife | undefined;
const running: Running[] = [];

beforeEach(async () => {
  pair = await createPair();
  const { database } = pair.connections.monolith;
  if (!database) throw new Error('no logins');
  source = await Participant.open({
    capability: 'catalog',
    side: 'monolith',
    labels: { monolith: 'the monolith', service: 'the service' },
    logins: database,
    tables: [],
  });
  await pair.monolith.query(`INSERT INTO prd (prd_id, no, nm, prc) VALUES (1, 'C', 'counter', 1)`);
  await joinRelay(source, { tables: ['prd'], known: ['prd'] });
  life = await relayLife(source.client, relayNames(source.database).publication);
});

afterEach(async () => {
  for (const one of running.splice(0)) await one.end();
  await leaveRelay(source, { tables: ['prd'], known: ['prd'] });
  await source.close();
  await pair.close();
});

/** What becomes of a request: there, refused, there though it was refused, or no answer as long as it takes. */
type Answer = 'written' | 'refused' | 'lost' | Promise<unknown>;

/** Brokers with one topic. A producer keeps its word: after a failure it writes nothing more. */
class Brokers implements Pick<KafkaClient, 'producer'> {
  readonly topic: string[] = [];
  requests = 0;
  readonly #answer: (request: number) => Answer;

  constructor(answer: (request: number) => Answer = () => 'written') {
    this.#answer = answer;
  }

  producer() {
    let failed = false;
    return Promise.resolve({
      send: async (records: readonly KafkaRecord[]) => {
        if (failed) throw new Error('failed before');
        const answer = this.#answer((this.requests += 1));
        if (typeof answer !== 'string') await answer;
        if (answer !== 'refused') this.topic.push(...records.map(({ value }) => value ?? ''));
        if (answer === 'refused' || answer === 'lost') {
          failed = true;
          throw new Error(answer);
        }
      },
      close: () => Promise.resolve(),
    });
  }
}

/** A topic that has everything. */
const whole = (): Mark => ({
  life: life?.name,
  position: { timeline: 1, commitLsn: 0n, seq: 0 },
  ...{ endLsn: 0n, completeTo: 1n << 62n },
});

/** The counter's values, with their positions. */
const script: Script = {
  letters: 0,
  write: ({ head, changes, firstSeq }: Piece) =>
    Promise.resolve(
      changes.flatMap((change, index) =>
        change.kind === 'update'
          ? [
              {
                topic: 't',
                key: null,
                value: `${head.commitLsn}/${firstSeq + index}/${change.after[7] ?? ''}`,
                headers: {},
              },
            ]
          : [],
      ),
    ),
  beat: () => [],
};

interface Running {
  readonly ended: Promise<unknown>;
  readonly reports: RelayProgress[];
  readonly isWorking: () => boolean;
  end(): Promise<void>;
}

function start(kafka: RelayOptions['kafka'], options: Partial<RelayOptions> = {}): Running {
  const stop = new AbortController();
  const reports: RelayProgress[] = [];
  let working = false;
  const ended = runRelay(
    {
      source: 'monolith',
      url: source.logins.capture,
      holder: `h${running.length}`,
      kafka,
      terms: new RelayTerms(pair.db),
      prepare: () => Promise.resolve(),
      end: () => Promise.resolve([whole()]),
      script: () => Promise.resolve(script),
      before: undefined,
      onStandby: () => Promise.resolve(),
      onRunning: () => {
        working = true;
      },
      report: (progress) => {
        reports.push(progress);
        return Promise.resolve();
      },
      log: createLogger({}, 'silent'),
      ...options,
    },
    stop.signal,
  ).then(
    () => undefined,
    (error: unknown) => error,
  );
  const one = {
    ended,
    reports,
    isWorking: () => working,
    end: async () => {
      stop.abort();
      await ended;
    },
  };
  running.push(one);
  return one;
}

const count = async (times: number): Promise<void> => {
  const session = await connect(pair.monolithAppUrl, SESSION);
  for (let done = 0; done < times; done++)
    await session.query('UPDATE prd SET stk = stk + 1 WHERE prd_id = 1');
  await session.end();
};

/** What comes for the first time, by positions. */
function counted(topic: readonly string[]): number[] {
  let seen = [0n, 0n];
  return topic.flatMap((text) => {
    const [commit = 0n, seq = 0n, value = 0n] = text.split('/').map(BigInt);
    const [lastCommit = 0n, lastSeq = 0n] = seen;
    if (commit < lastCommit || (commit === lastCommit && seq <= lastSeq)) return [];
    seen = [commit, seq];
    return [Number(value)];
  });
}

const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1);

const holds = (brokers: Brokers, last: number, timeoutMs = 20_000): Promise<unknown> =>
  waitFor(() => counted(brokers.topic).at(-1) === last, {
    timeoutMs,
    everyMs: 5,
    what: `${last} to be with the brokers`,
  });

async function confirmed(): Promise<string> {
  const { rows } = await pair.monolith.query<{ at: string }>(
    'SELECT confirmed_flush_lsn AS at FROM pg_replication_slots WHERE slot_name = $1',
    [relayNames(source.database).slot],
  );
  return rows[0]?.at ?? '';
}

test.each(['refused', 'lost'] as const)(
  'a request that is %s is never overtaken, and what comes after it waits for the next run',
  async (fate) => {
    const brokers = new Brokers((request) => (request % 4 === 0 ? fate : 'written'));
    const counting = count(50);
    for (let run = 0; counted(brokers.topic).at(-1) !== 50; run++) {
      if (run > 200) throw new Error('it does not come to its end');
      const relay = start(brokers);
      await Promise.race([
        relay.ended.then((error) => {
          expect(error).toMatchObject({ message: fate });
        }),
        holds(brokers, 50),
      ]);
      await relay.end();
    }
    await counting;
    expect(counted(brokers.topic)).toEqual(upTo(50));
  },
);

test('while the brokers say nothing the source is told nothing, and little is in memory', async () => {
  const silent = Promise.withResolvers<undefined>();
  const brokers = new Brokers((request) => (request === 1 ? silent.promise : 'written'));
  let given = 0;
  const relay = start(brokers, {
    limitBytes: 50_000,
    script: () =>
      Promise.resolve({
        ...script,
        write: (piece: Piece) => {
          given += 1;
          return script.write(piece);
        },
      }),
  });
  const before = await confirmed();
  await count(1);
  await waitFor(() => brokers.requests === 1, { timeoutMs: 10_000, what: 'a request' });
  await pair.monolith.query(
    `DO $$ BEGIN FOR i IN 1..2000 LOOP UPDATE prd SET stk = stk + 1 WHERE prd_id = 1; COMMIT; END LOOP; END $$`,
  );
  await waitFor(() => relay.reports.length > 3, { timeoutMs: 10_000, what: 'reports' });
  expect(await confirmed()).toBe(before);
  expect(given).toBeLessThan(500);
  expect(relay.reports.at(-1)).toMatchObject({ position: undefined, behindMs: undefined });
  silent.resolve(undefined);
  await holds(brokers, 2_001);
  expect(counted(brokers.topic)).toEqual(upTo(2_001));
  await waitFor(async () => (await confirmed()) !== before, {
    timeoutMs: 5_000,
    what: 'the source to be told',
  });
  await waitFor(() => relay.reports.at(-1)?.behindMs === 0, {
    timeoutMs: 5_000,
    what: 'the report that all is there',
  });
}, 60_000);

test('a relay that is cut off is taken over from within ten seconds, and what it still writes harms nobody', async () => {
  const port = Number(new URL(source.logins.capture).port);
  const proxies: Proxy[] = [await startProxy(port), await startProxy(port)];
  const [toSource, toControl] = proxies as [Proxy, Proxy];
  const db = openControl(toControl.through(pair.controlUrl));
  try {
    // What the zombie has asked for before it was cut off is answered after the other one has begun.
    const late = Promise.withResolvers<undefined>();
    const brokers = new Brokers((request) => (request === 2 ? late.promise : 'written'));
    const zombie = start(brokers, {
      url: toSource.through(source.logins.capture),
      terms: new RelayTerms(db),
    });
    await count(1);
    await holds(brokers, 1);
    await waitFor(async () => (await new RelayTerms(pair.db).latest('monolith')) !== undefined, {
      timeoutMs: 5_000,
      what: 'the lease to be taken',
    });
    await count(5);
    await waitFor(() => brokers.requests === 2, { timeoutMs: 5_000, what: 'a request' });
    for (const proxy of proxies) proxy.silence();
    start(brokers);
    await count(5);
    await holds(brokers, 11, 10_000);
    late.resolve(undefined);
    await waitFor(() => brokers.topic.length > 11, {
      timeoutMs: 5_000,
      what: 'the zombie to write',
    });
    await zombie.end();
    await count(5);
    await holds(brokers, 16);
    expect(counted(brokers.topic)).toEqual(upTo(16));
    expect(brokers.topic.length).toBeGreaterThan(16);
  } finally {
    await db.destroy();
    for (const proxy of proxies) await proxy.close();
  }
}, 60_000);

test('a relay that has the slot and renews its lease is left alone, without the control database too', async () => {
  const proxy = await startProxy(Number(new URL(source.logins.capture).port));
  const db = openControl(proxy.through(pair.controlUrl));
  try {
    const brokers = new Brokers();
    const first = start(brokers, { terms: new RelayTerms(db) });
    await waitFor(first.isWorking, { timeoutMs: 10_000, what: 'the first to work' });
    let looks = 0;
    // The second knows of leases no more than the first can renew its own.
    const second = start(brokers, {
      terms: new RelayTerms(db),
      onStandby: () => {
        looks += 1;
        return Promise.resolve();
      },
    });
    await waitFor(() => looks > 12, { timeoutMs: 20_000, what: 'the second to have looked often' });
    await proxy.close();
    const since = looks;
    await waitFor(() => looks > since + 12, { timeoutMs: 30_000, what: 'it to look on' });
    expect(second.isWorking()).toBe(false);
    await count(3);
    await holds(brokers, 3);
    await first.end();
    await waitFor(second.isWorking, { timeoutMs: 5_000, what: 'the second to work' });
  } finally {
    await db.destroy();
    await proxy.close().catch(() => undefined);
  }
}, 90_000);

test.each<[string, Position]>([
  ['goes further than the source', { timeline: 1, commitLsn: 1n << 60n, seq: 1 }],
  ['comes from a server that this one does not follow', { timeline: 9, commitLsn: 1n, seq: 1 }],
])('a relay whose topic %s does not go on', async (_, before) => {
  const brokers = new Brokers();
  expect(await start(brokers, { before }).ended).toMatchObject({ code: 'FLOW_STOPPED' });
  expect(brokers.requests).toBe(0);
});

const mark = (lsn: bigint, more: Partial<Mark> = {}): Mark => ({
  ...{ life: life?.name, endLsn: lsn + 8n, completeTo: lsn + 8n },
  position: { timeline: 1, commitLsn: lsn, seq: 1 },
  ...more,
});

const begins = (): bigint => life?.begins ?? 0n;

test.each<[string, string, () => Mark[]]>([
  ['was deleted', 'KAFKA_LOG_LOST', () => []],
  ['was cut off at its end', 'KAFKA_LOG_LOST', () => [mark(begins() + 1n)]],
  [
    'has an older life behind the beginning of this one',
    'FLOW_STOPPED',
    () => [mark(1n << 59n, { life: '7/0/1' })],
  ],
  ['goes further than its source', 'FLOW_STOPPED', () => [mark(1n << 59n)]],
])('a relay whose topic %s does not go on', async (_, code, marks) => {
  const brokers = new Brokers();
  const first = start(brokers);
  await count(3);
  await holds(brokers, 3);
  await waitFor(async () => parseLsn(await confirmed()) > begins() + 100n, {
    timeoutMs: 5_000,
    what: 'it to be confirmed',
  });
  await first.end();
  const written = brokers.topic.length;
  const second = start(brokers, { end: () => Promise.resolve(marks()) });
  expect(await second.ended).toMatchObject({ code });
  expect(brokers.topic.length).toBe(written);
});

test('a source that was set back, and has gone on differently, is not relayed behind what the topic has', async () => {
  const brokers = new Brokers((request) => (request === 1 ? 'lost' : 'written'));
  await count(1);
  const { rows } = await pair.monolith.query<{ at: string }>(
    'SELECT pg_current_wal_insert_lsn() AS at',
  );
  // What the topic ends with lies between the first transaction and the second; there is none there.
  const last = parseLsn(rows[0]?.at ?? '');
  await count(2);
  const relay = start(brokers, { end: () => Promise.resolve([mark(last)]) });
  expect(await relay.ended).toMatchObject({ message: 'lost' });
  const next = start(brokers, { end: () => Promise.resolve([mark(last)]) });
  const error = await next.ended;
  expect(error).toMatchObject({ code: 'FLOW_STOPPED' });
  expect(String(error)).toMatch(/has none there/);
  expect(counted(brokers.topic)).toEqual([1]);
});

test('a source that was set back is noticed by what it has written, also where none of that is ours', async () => {
  const { rows } = await pair.monolith.query<{ at: string }>(
    'SELECT pg_current_wal_insert_lsn() AS at',
  );
  const last = parseLsn(rows[0]?.at ?? '');
  const brokers = new Brokers();
  const relay = start(brokers, { end: () => Promise.resolve([mark(last)]) });
  await pair.monolith.query('CREATE TABLE not_ours AS SELECT generate_series(1, 1000) AS i');
  const error = await relay.ended;
  expect(error).toMatchObject({ code: 'FLOW_STOPPED' });
  expect(String(error)).toMatch(/has none there: it has written up to/);
  expect(parseLsn(await confirmed())).toBeLessThan(last);
});

test('a relay of a slot that was made by hand does not begin', async () => {
  const { slot, publication } = relayNames(source.database);
  await pair.monolith.query('SELECT pg_drop_replication_slot($1)', [slot]);
  await pair.monolith.query(`COMMENT ON PUBLICATION ${publication} IS NULL`);
  await pair.monolith.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
  const brokers = new Brokers();
  expect(await start(brokers).ended).toMatchObject({ code: 'SLOT_LOST' });
  expect(brokers.requests).toBe(0);
});
