// A sequence behind a column that moves, and is another role's than the tables: who may take numbers from it may
// neither see where it stands nor set it, and a switch must do both.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { grantStatements } from '../control/grants.ts';
import { preflight } from '../sync/index.ts';
import { createPair, type Pair } from './support/pair.ts';
import { advanceTo, noteClean, startSync, streaming, type RunningSync } from './support/sync.ts';

let pair: Pair;
let sync: RunningSync;

beforeEach(async () => {
  pair = await createPair({
    schemas: {
      monolith: 'CREATE TABLE item (id bigint PRIMARY KEY, invoice_no bigint)',
      service: 'CREATE TABLE article (id bigint PRIMARY KEY, number bigint)',
    },
    capability: {
      tables: [
        {
          ...{ monolith: 'item', service: 'article', key: { id: 'id' } },
          columns: { invoice_no: 'number' },
        },
      ],
    },
  });
  // Its default goes by the sequence's number: the application need not be let into the schema.
  await pair.monolith.query(`
    CREATE SCHEMA billing; CREATE SEQUENCE billing.numbers;
    GRANT USAGE ON SEQUENCE billing.numbers TO m_${pair.tag}_app;
    ALTER TABLE item ALTER invoice_no SET DEFAULT nextval('billing.numbers')`);
  sync = startSync(pair);
});

afterEach(async () => {
  await sync.stop();
  await pair.close();
});

const coordinator = (): string => `m_${pair.tag}_coordinator`;
const LACKS = [
  'USAGE on schema billing',
  'UPDATE on sequence billing.numbers',
  'SELECT on sequence billing.numbers',
];

/** Of the rights, what the look before a cutover misses. */
async function missing(): Promise<string[]> {
  const found = await pair.coordinator().missingRights('catalog');
  expect(found.every(({ role }) => role === coordinator())).toBe(true);
  return found.map(({ right }) => right);
}

async function findings(): Promise<string[]> {
  const found = await preflight(pair.migration, pair.connections);
  return found.map(({ what }) => what).filter((what) => what.includes('billing'));
}

const names = (which: 'monolith'): string[] =>
  Object.values(pair.migration.capabilities).flatMap(({ tables }) =>
    tables.flatMap((table) => table[which]),
  );

/** What `banyan grants` prints for the sequences. */
async function grant(): Promise<void> {
  const statements = grantStatements({
    ...{ database: pair.monolith.database ?? '', tableOwner: `m_${pair.tag}_app` },
    roles: { capture: 'nobody', applier: 'nobody', coordinator: coordinator() },
    ...{ tables: names('monolith'), lookups: [] },
  });
  await pair.monolith.query(statements.find((one) => one.includes('SEQUENCE')) ?? '');
}

test('it is found before anything is started, and before the service may own', async () => {
  expect((await findings()).sort()).toEqual(
    LACKS.map((right) => expect.stringContaining(`${coordinator()} lacks ${right}`)).reverse(),
  );
  expect((await missing()).sort()).toEqual([...LACKS].sort());
  await advanceTo(pair, 'canary');
  await noteClean(pair);
  await streaming(pair, 'to');
  await streaming(pair, 'back');
  await expect(
    pair.coordinator().move({ capability: 'catalog', event: 'advance' }),
  ).rejects.toMatchObject({
    ...{
      code: 'GATE_REFUSED',
      message: expect.stringContaining('lacks UPDATE on sequence billing'),
    },
    hint: expect.stringContaining('GRANT UPDATE ON SEQUENCE billing.numbers TO '),
  });
  await grant();
  expect(await missing()).toEqual([]);
  expect(await findings()).toEqual([]);
});

test('one that is lost since refuses the way back before anybody is held, and an abort before it gives anything up', async () => {
  await grant();
  await advanceTo(pair, 'cutover');
  await streaming(pair, 'to');
  await streaming(pair, 'back');
  await pair.monolith.query(`REVOKE UPDATE ON SEQUENCE billing.numbers FROM ${coordinator()}`);
  const { length } = await pair.store.journal('catalog');
  await expect(
    pair.coordinator().move({ capability: 'catalog', event: 'rollback' }),
  ).rejects.toMatchObject({
    ...{ code: 'SWITCH_UNDONE', message: expect.stringContaining('lacks UPDATE on sequence') },
    hint: expect.stringContaining('GRANT UPDATE ON SEQUENCE billing.numbers'),
  });
  const events = (await pair.store.journal('catalog')).slice(length).map(({ event }) => event);
  expect(events).not.toContain('hold');
  await expect(
    pair.coordinator().abort({ capability: 'catalog', losing: true }),
  ).rejects.toMatchObject({ code: 'PREFLIGHT_FAILED' });
  expect(await pair.store.readOne('catalog')).toMatchObject({ phase: 'cutover', holding: false });
  await grant();
  await pair.service.query('INSERT INTO article VALUES (1, 700)');
  await streaming(pair, 'back');
  await pair.coordinator().move({ capability: 'catalog', event: 'rollback' });
  const { rows } = await pair.monolith.query<{ no: string }>(
    'INSERT INTO item (id) VALUES (2) RETURNING invoice_no AS no',
  );
  expect(Number(rows[0]?.no)).toBeGreaterThan(700);
});
