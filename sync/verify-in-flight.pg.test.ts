// What comes while a verification looks at its rows: by a key that either side writes in a text of its own, or
// with a code that nobody knew when it began. It waits at a lock meanwhile.
import { afterEach, expect, test } from '@jest/globals';
import type pg from 'pg';
import { waitFor } from '../core/lifecycle.ts';
import { connect } from '../core/postgres/connect.ts';
import type { VerifyOutcome } from '../control/verify-outcomes.ts';
import { lookup } from '../control/lenses.ts';
import { CLEAN, viewsOf } from '../test/support/mapped.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startGated, streaming, type GatedSync } from '../test/support/sync.ts';
import { verify } from './verify.ts';

let pair: Pair;
let sync: GatedSync | undefined;
let holder: pg.Client | undefined;

afterEach(async () => {
  await holder?.end();
  holder = undefined;
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

/** Locks a table of the monolith, in a transaction that the test ends. */
async function hold(table: string): Promise<pg.Client> {
  holder = await connect(pair.monolithAppUrl, SESSION);
  await holder.query(`BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
  return holder;
}

interface Begun {
  readonly outcome: Promise<VerifyOutcome>;
  /** How many rows looked different at first. */
  readonly suspects: readonly number[];
}

/** Begins a verification, and waits until it waits. What the gate holds back flows on when it has seen all. */
async function begun({ gate }: GatedSync): Promise<Begun> {
  const capability = pair.migration.capabilities['catalog'];
  const [monolith, service] = [
    pair.connections.monolith.database,
    pair.connections.services['catalog']?.database,
  ];
  if (!capability || !monolith || !service) throw new Error('no capability');
  const suspects: number[] = [];
  const outcome = verify({
    ...{ id: 'catalog', capability, monolith, service },
    onProgress: ({ doing, suspects: found }) => {
      if (doing !== 'settle') return;
      suspects.push(found);
      gate.open();
    },
  });
  outcome.catch(() => undefined);
  await waitFor(
    async () => {
      const { rows } = await pair.monolith.query(
        `SELECT 1 FROM pg_stat_activity WHERE application_name = 'banyan-verify' AND datname = current_database() AND wait_event_type = 'Lock'`,
      );
      return rows.length > 0;
    },
    { timeoutMs: 30_000, what: 'the verification to wait for the lock' },
  );
  return { outcome, suspects };
}

test('a row that the service puts in meanwhile is no extra one for the text of its key', async () => {
  pair = await createPair({
    schemas: {
      monolith: 'CREATE TABLE item (id numeric(10) PRIMARY KEY, nm text)',
      service: 'CREATE TABLE thing (id numeric(12,2) PRIMARY KEY, name text)',
    },
    capability: {
      tables: [{ monolith: 'item', service: 'thing', key: { id: 'id' }, columns: { nm: 'name' } }],
    },
  });
  await pair.monolith.query(`INSERT INTO item SELECT i, 'n' FROM generate_series(1, 5) i`);
  await advanceTo(pair, 'sync');
  const gated = startGated(pair);
  sync = gated;
  await advanceTo(pair, 'cutover');
  await streaming(pair, 'back');
  const lock = await hold('item');
  const { outcome, suspects } = await begun(gated);
  gated.gate.shut();
  await pair.service.query(`INSERT INTO thing VALUES (7, 'by the service')`);
  await lock.query('ROLLBACK');
  expect(await outcome).toMatchObject({ ...CLEAN, samples: [] });
  expect(suspects).toEqual([1]);
  await equal(
    pair,
    viewsOf(
      pair,
      'SELECT id::int, nm AS name FROM item ORDER BY 1',
      'SELECT id::int, name FROM thing ORDER BY 1',
    ),
  );
});

test('a row with a code that came meanwhile as well is not called different', async () => {
  pair = await createPair({
    schemas: {
      monolith: `CREATE TABLE ctry (ctry_id integer PRIMARY KEY, iso text UNIQUE);
        CREATE TABLE person (id bigint PRIMARY KEY, ctry integer REFERENCES ctry, nm text)`,
      service: 'CREATE TABLE customer (id bigint PRIMARY KEY, country text, name text)',
    },
    capability: {
      tables: [
        {
          ...{ monolith: 'person', service: 'customer', key: { id: 'id' } },
          columns: {
            ctry: lookup('country', { table: 'ctry', monolith: 'ctry_id', service: 'iso' }),
            nm: 'name',
          },
        },
      ],
    },
  });
  await pair.monolith.query(`
    INSERT INTO ctry VALUES (1, 'DE'); INSERT INTO person VALUES (1, 1, 'a'), (2, NULL, 'b')`);
  await advanceTo(pair, 'sync');
  const gated = startGated(pair);
  sync = gated;
  await streaming(pair, 'to');
  const writing = await hold('person');
  const { outcome, suspects } = await begun(gated);
  gated.gate.shut();
  await writing.query(`
    INSERT INTO ctry VALUES (2, 'FR'); INSERT INTO person VALUES (3, 2, 'c');
    UPDATE person SET ctry = 2 WHERE id = 2; COMMIT`);
  expect(await outcome).toMatchObject({ ...CLEAN, samples: [] });
  expect(suspects).toEqual([2]);
});
