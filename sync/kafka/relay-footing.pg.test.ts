// Where a relay begins, and where it does not: by a real slot, and by what its topic is said to end with.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { aborted, waitFor } from '../../core/lifecycle.ts';
import { quoteLiteral } from '../../core/postgres/identifiers.ts';
import { parseLsn, type Position } from '../../core/postgres/lsn.ts';
import { relayNames } from '../../control/domain/names.ts';
import { noteOf, type RelayLife } from '../../control/domain/relay-life.ts';
import type { Participant } from '../../control/participant.ts';
import { joinRelay, relayLife } from '../../control/relay.ts';
import { leaveRelay } from '../../control/relay-leave.ts';
import {
  Brokers,
  counted,
  countedRelay,
  holds,
  script,
  type CountedRelay,
} from '../../test/support/counted-relay.ts';
import { createOwned } from '../../test/support/owned.ts';
import { type Pair } from '../../test/support/pair.ts';
import type { Footing } from '../domain/debezium/chain.ts';
import { parsePosition, type Mark } from '../domain/debezium/position.ts';
import type { RelayOptions } from './relay.ts';

let relay: CountedRelay;
let pair: Pair;
let source: Participant;

beforeEach(async () => {
  relay = await countedRelay();
  ({ pair, source } = relay);
});

afterEach(async () => {
  await relay.close();
});

const start: CountedRelay['start'] = (...given) => relay.start(...given);
const count: CountedRelay['count'] = (times) => relay.count(times);
const confirmed: CountedRelay['confirmed'] = () => relay.confirmed();

const only =
  (...marks: Mark[]): RelayOptions['end'] =>
  () =>
    Promise.resolve({ marks, isCut: false });

test.each<[string, Position]>([
  ['goes further than the source', { timeline: 1, commitLsn: 1n << 60n, seq: 1 }],
  ['comes from a server that this one does not follow', { timeline: 9, commitLsn: 1n, seq: 1 }],
])('a relay whose topic %s does not go on', async (_, before) => {
  const brokers = new Brokers();
  expect(await start(brokers, { before }).ended).toMatchObject({ code: 'FLOW_STOPPED' });
  expect(brokers.requests).toBe(0);
});

const mark = (lsn: bigint, more: Partial<Mark> = {}): Mark => ({
  ...{ life: relay.life?.name, endLsn: lsn + 8n, completeTo: lsn + 8n },
  position: { timeline: 1, commitLsn: lsn, seq: 1 },
  ...more,
});

const begins = (): bigint => relay.life?.begins ?? 0n;

/** A relay has been here, and its slot has confirmed what it wrote. */
async function confirmedSome(): Promise<Brokers> {
  const brokers = new Brokers();
  const first = start(brokers);
  await count(3);
  await holds(brokers, 3);
  await waitFor(async () => parseLsn(await confirmed()) > begins() + 100n, {
    timeoutMs: 30_000,
    what: 'it to be confirmed',
  });
  await first.end();
  return brokers;
}

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
  const brokers = await confirmedSome();
  const written = brokers.topic.length;
  const second = start(brokers, { end: only(...marks()) });
  expect(await second.ended).toMatchObject({ code });
  expect(brokers.topic.length).toBe(written);
});

test('a relay that was away for longer than its topic keeps records goes on, and says what is gone', async () => {
  const brokers = new Brokers();
  const first = start(brokers);
  await count(3);
  await holds(brokers, 3);
  await waitFor(() => first.reports.at(-1)?.position !== undefined, {
    timeoutMs: 30_000,
    what: 'a report',
  });
  await first.end();
  const before = parsePosition(first.reports.at(-1)?.position);
  let footing: Footing | undefined;
  start(brokers, {
    before,
    end: () => Promise.resolve({ marks: [], isCut: true }),
    script: (_source, _timeline, found) => {
      footing = found;
      return Promise.resolve(script);
    },
  });
  await count(2);
  await holds(brokers, 5);
  expect(footing).toMatchObject({ life: relay.life?.name, after: before?.commitLsn });
  expect(footing?.gone).toBeGreaterThan(before?.commitLsn ?? 0n);
});

test('a relay that is ended while it looks at its topic ends quietly', async () => {
  await confirmedSome();
  const looks = Promise.withResolvers<undefined>();
  const first = start(new Brokers(), {
    end: async (_, signal) => {
      looks.resolve(undefined);
      await aborted(signal);
      return undefined;
    },
  });
  await looks.promise;
  await first.end();
  expect(await first.ended).toBeUndefined();
});

test('a slot on which other flows live is not made anew, and it is said how to go on', async () => {
  const { publication } = relayNames(source.database);
  const note = (text: string): Promise<unknown> =>
    pair.monolith.query(`COMMENT ON PUBLICATION ${publication} IS ${text}`);
  await createOwned(pair, 'other');
  await note('NULL');
  const at = await confirmed();
  await expect(
    joinRelay(source, { tables: ['other'], known: ['prd', 'other'] }),
  ).rejects.toMatchObject({
    code: 'SLOT_LOST',
    hint: expect.stringMatching(/Set it again: "banyan: .* Roll every capability/) as unknown,
  });
  expect(await confirmed()).toBe(at);
  // As the hint says.
  await note(quoteLiteral(noteOf(relay.life as RelayLife)));
  await joinRelay(source, { tables: ['other'], known: ['prd', 'other'] });
  expect(await leaveRelay(source, { tables: ['other'], known: ['prd', 'other'] })).toBe('shared');
  // One that nobody lives on is.
  await note('NULL');
  await joinRelay(source, { tables: ['prd'], known: ['prd'] });
  expect((await relayLife(source.client, publication))?.name).not.toBe(relay.life?.name);
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
  const first = start(brokers, { end: only(mark(last)) });
  expect(await first.ended).toMatchObject({ message: 'lost' });
  const next = start(brokers, { end: only(mark(last)) });
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
  const first = start(brokers, { end: only(mark(last)) });
  await pair.monolith.query('CREATE TABLE not_ours AS SELECT generate_series(1, 1000) AS i');
  const error = await first.ended;
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
