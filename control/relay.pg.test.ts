// The relay's slot and publication, shared by all flows of a source: who joins misses nothing that
// commits later, and the last to leave takes both along.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { connect } from '../core/postgres/connect.ts';
import { parseLsn } from '../core/postgres/lsn.ts';
import { relayNames } from './domain/names.ts';
import { isRelayed, joinRelay, type Relayed } from './relay.ts';
import { leaveRelay } from './relay-leave.ts';
import { Participant } from './participant.ts';
import { openSlotLog } from '../sync/slot-log.ts';
import { createOwned } from '../test/support/owned.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { leftovers } from '../test/support/sync.ts';

let pair: Pair;
let source: Participant;

async function participant(): Promise<Participant> {
  const { database } = pair.connections.monolith;
  if (!database) throw new Error('no logins');
  return Participant.open({
    capability: 'catalog',
    side: 'monolith',
    labels: { monolith: 'the monolith', service: 'the service' },
    logins: database,
    tables: pair.migration.capabilities['catalog']?.tables ?? [],
  });
}

beforeEach(async () => {
  pair = await createPair();
  source = await participant();
});

afterEach(async () => {
  await source.close();
  await pair.close();
});

const of = (tables: string[]): Relayed => ({ tables, known: ['cat', 'prd'] });

async function published(): Promise<string[]> {
  const { rows } = await pair.monolith.query<{ tablename: string }>(
    'SELECT tablename FROM pg_publication_tables ORDER BY 1',
  );
  return rows.map(({ tablename }) => tablename);
}

const insert = (no: string): string => `INSERT INTO prd (no, nm, prc) VALUES ('${no}', 'n', 1)`;

test('who joins a relay that is at work waits for open transactions, and gets all that commits later', async () => {
  await joinRelay(source, of(['cat']));
  const open = await connect(pair.monolithAppUrl, SESSION);
  await open.query(`BEGIN; ${insert('OPEN')}`);
  let joined = false;
  const joining = joinRelay(source, of(['prd'])).then((start) => {
    joined = true;
    return start;
  });
  await waitFor(async () => (await published()).includes('prd'), {
    timeoutMs: 30_000,
    what: 'the table to be published',
  });
  // It looks every 25 ms; a second look of ours comes after several of them.
  for (let look = 0; look < 20; look++) await pair.monolith.query('SELECT pg_sleep(0.01)');
  expect(joined).toBe(false);
  await open.query('COMMIT');
  await open.end();
  const { lsn, timeline } = await joining;
  await pair.monolith.query(insert('LATER'));

  const log = await openSlotLog(
    { url: source.logins.capture, ...relayNames(source.database) },
    { timeline, commitLsn: 0n, seq: 0 },
  );
  try {
    const found: unknown[] = [];
    while (found.length === 0)
      for (const { head, changes } of await log.read(AbortSignal.timeout(30_000)))
        if (head.commitLsn >= parseLsn(lsn))
          for (const change of changes) if (change.kind === 'insert') found.push(change.after[1]);
    expect(found).toEqual(['LATER']);
  } finally {
    await log.close();
  }
});

test('slot and publication go with the last table, and not before', async () => {
  await joinRelay(source, of(['cat']));
  await joinRelay(source, of(['prd']));
  await joinRelay(source, of(['prd']));
  expect(await published()).toEqual(['cat', 'prd']);
  expect(await leaveRelay(source, of(['cat']))).toBe('shared');
  expect(await isRelayed(source, ['cat'])).toBe(false);
  expect(await isRelayed(source, ['prd'])).toBe(true);
  expect(await leaveRelay(source, of(['prd']))).toBe('gone');
  expect(await leaveRelay(source, of(['prd']))).toBe('gone');
  expect(await leftovers(pair)).toEqual([]);
});

test('two that join at the same time both do', async () => {
  const other = await participant();
  try {
    await Promise.all([joinRelay(source, of(['cat'])), joinRelay(other, of(['prd']))]);
    expect(await published()).toEqual(['cat', 'prd']);
  } finally {
    await other.close();
  }
  await leaveRelay(source, of(['cat', 'prd']));
});

test('a slot that is gone is not made anew behind the back of the flows there are', async () => {
  await joinRelay(source, of(['cat']));
  const { slot } = relayNames(source.database);
  await pair.monolith.query('SELECT pg_drop_replication_slot($1)', [slot]);
  await expect(joinRelay(source, of(['prd']))).rejects.toMatchObject({ code: 'SLOT_LOST' });
  expect(await published()).toEqual(['cat']);
  // With nobody left that could miss anything, all begins anew.
  await leaveRelay(source, of(['cat']));
  await joinRelay(source, of(['prd']));
  await leaveRelay(source, of(['prd']));
});

test('neither an outbox nor a table that the definition has dropped keeps slot and publication', async () => {
  await createOwned(pair, 'events');
  await createOwned(pair, 'dropped');
  await joinRelay(source, { ...of(['cat']), outbox: ['events'] });
  await joinRelay(source, { tables: ['dropped'], known: ['dropped', 'cat'] });
  expect(await published()).toEqual(['cat', 'dropped', 'events']);
  // The definition may have gone back to slots: it says nothing of an outbox any more.
  expect(await leaveRelay(source, of(['cat']))).toBe('gone');
  expect(await leftovers(pair)).toEqual([]);
});

test('what a relay that is gone has left in the publication is not taken over', async () => {
  await createOwned(pair, 'dropped');
  await joinRelay(source, { tables: ['dropped'], known: ['dropped'] });
  const { slot } = relayNames(source.database);
  await pair.monolith.query('SELECT pg_drop_replication_slot($1)', [slot]);
  await joinRelay(source, of(['prd']));
  expect(await published()).toEqual(['prd']);
  await leaveRelay(source, of(['prd']));
});
