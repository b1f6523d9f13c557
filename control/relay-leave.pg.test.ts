// The end of a relay whose source has an outbox: what that held when the last flow went is owed, and slot and
// publication stay until it is with the brokers, wherever a coordinator dies.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { parseLsn } from '../core/postgres/lsn.ts';
import { createOwned } from '../test/support/owned.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import { leftovers } from '../test/support/sync.ts';
import { relayNames } from './domain/names.ts';
import { Participant } from './participant.ts';
import { RelayReports, type RelayLine } from './relay-reports.ts';
import { isRelayed, joinRelay, relayLife, type Relayed } from './relay.ts';
import { giveUpEvents, leaveRelay, lookAtOwed, seeOffRelay, type Owed } from './relay-leave.ts';

let pair: Pair;
let source: Participant;
let reports: RelayReports;

async function open(capture?: string): Promise<Participant> {
  const { database } = pair.connections.monolith;
  if (!database) throw new Error('no logins');
  return Participant.open({
    ...{ capability: 'catalog', side: 'monolith', tables: [] },
    logins: { ...database, ...(capture !== undefined && { capture }) },
    labels: { monolith: 'the monolith', service: 'the service' },
  });
}

beforeEach(async () => {
  pair = await createPair();
  source = await open();
  reports = new RelayReports(pair.db);
  await createOwned(pair, 'events');
});

afterEach(async () => {
  await leaveRelay(source, { tables: ['cat', 'prd'], known: [] });
  await source.close();
  await pair.close();
});

const of = (tables: string[], outbox = ['events']): Relayed => ({
  ...{ tables, known: ['cat', 'prd'], outbox },
});
const names = () => relayNames(source.database);
const owed = (): Promise<Owed> => lookAtOwed(source.logins.capture, ['public.events']);
const seeOff = (relayed = of(['cat'])): Promise<boolean> =>
  seeOffRelay(source, { ...relayed, name: 'monolith', relays: reports, waits: false });
const line = async (): Promise<RelayLine | undefined> => (await reports.lines())[0];

/** As a relay does it that works. */
async function confirmAll(): Promise<void> {
  await pair.monolith.query('SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())', [
    names().slot,
  ]);
}

async function published(): Promise<string[]> {
  const { rows } = await pair.monolith.query<{ tablename: string }>(
    'SELECT tablename FROM pg_publication_tables ORDER BY 1',
  );
  return rows.map(({ tablename }) => tablename);
}

test('slot and publication stay after the last flow until the brokers have what the outbox held', async () => {
  await joinRelay(source, of(['cat']));
  await pair.monolith.query('INSERT INTO events VALUES (1)');
  const { rows } = await pair.monolith.query<{ at: string }>('SELECT pg_current_wal_lsn() AS at');
  expect(await leaveRelay(source, of(['cat']))).toBe('leaving');
  expect(await published()).toEqual(['events']);
  expect(await isRelayed(source, ['cat'])).toBe(false);
  const { owes, leaves } = await owed();
  expect(owes).toBe(true);
  expect(parseLsn(leaves ?? '')).toBeGreaterThanOrEqual(parseLsn(rows[0]?.at ?? ''));

  // Asked again, by this or by any other capability, it is the same place.
  expect(await leaveRelay(source, of(['cat']))).toBe('leaving');
  expect(await seeOff(of(['prd']))).toBe(false);
  expect(await owed()).toMatchObject({ owes, leaves });
  expect(await line()).toMatchObject({ source: 'monolith', status: 'stopped', leaves });

  await confirmAll();
  expect(await owed()).toMatchObject({ owes: false, leaves });
  expect(await seeOff(of(['prd']))).toBe(true);
  expect(await leftovers(pair)).toEqual([]);
  expect(await line()).toBeUndefined();
  expect(await seeOff()).toBe(false);
});

test('before anybody has noted that the last flow is gone, the relay owes what comes', async () => {
  await joinRelay(source, of(['cat']));
  await confirmAll();
  expect(await owed()).toMatchObject({ owes: true, leaves: undefined });
  await leaveRelay(source, of(['cat']));
  await confirmAll();
  await seeOff();
});

test('whoever died between slot and publication is taken over from', async () => {
  await joinRelay(source, of(['cat']));
  await leaveRelay(source, of(['cat']));
  await confirmAll();
  await pair.monolith.query('SELECT pg_drop_replication_slot($1)', [names().slot]);
  expect(await owed()).toMatchObject({ owes: false });
  expect(await seeOff()).toBe(true);
  expect(await leftovers(pair)).toEqual([]);
});

test('a flow that begins meanwhile goes on with the same slot, which then stays', async () => {
  await joinRelay(source, of(['cat']));
  const { publication } = names();
  const life = await relayLife(source.client, publication);
  await leaveRelay(source, of(['cat']));
  await joinRelay(source, of(['prd']));
  expect(await published()).toEqual(['events', 'prd']);
  expect(await relayLife(source.client, publication)).toEqual(life);
  await confirmAll();
  expect(await seeOff()).toBe(false);
  expect(await leaveRelay(source, of(['prd']))).toBe('leaving');
  await confirmAll();
  expect(await seeOff(of(['prd']))).toBe(true);
  expect(await leftovers(pair)).toEqual([]);
});

test('what is owed can be given up, and only that', async () => {
  const noted: string[] = [];
  const giveUp = (): Promise<boolean> =>
    giveUpEvents(source, of([]), () => {
      noted.push('noted');
      return Promise.resolve();
    });
  await joinRelay(source, of(['cat']));
  expect(await giveUp()).toBe(false);
  expect(await published()).toEqual(['cat', 'events']);
  await leaveRelay(source, of(['cat']));
  expect(await giveUp()).toBe(true);
  expect(noted).toEqual(['noted']);
  expect(await leftovers(pair)).toEqual([]);
});

test('one that was giving up and died has told the relay and whoever comes next', async () => {
  await joinRelay(source, of(['cat']));
  await leaveRelay(source, of(['cat']));
  const cut = await open('postgresql://x@127.0.0.1:1/x');
  const died = giveUpEvents(cut, of([]), () => Promise.resolve()).finally(() => cut.close());
  await expect(died).rejects.toMatchObject({ code: 'DATABASE_UNREACHABLE' });
  expect(await owed()).toMatchObject({ owes: false, leaves: '0/0' });
  expect(await seeOff()).toBe(true);
});

test('an outbox that the definition does not name any more keeps nothing', async () => {
  await joinRelay(source, of(['cat']));
  await leaveRelay(source, of(['cat']));
  expect(await seeOff(of(['cat'], []))).toBe(true);
  expect(await leftovers(pair)).toEqual([]);
});
