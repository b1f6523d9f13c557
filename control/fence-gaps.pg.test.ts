// A definition that is given more tables while its capability is in cutover: those have no fence that could
// have a gap, and one that is another capability's keeps that one's.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { withClient } from '../core/postgres/connect.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { advanceTo, startSync, type RunningSync } from '../test/support/sync.ts';
import { defineMigration } from './define.ts';
import type { TableMap } from './definition.ts';
import { hasGaps, mendFence } from './fence-gaps.ts';
import { Participant } from './participant.ts';

const TABLES = ['own', 'added', 'taken'] as const;
type Table = (typeof TABLES)[number];

const NOTHING = { partitions: [], restored: [], waiting: [], blockers: [] };

let pair: Pair;
let sync: RunningSync;

beforeAll(async () => {
  const schema = TABLES.map((table) => `CREATE TABLE ${table} (id integer PRIMARY KEY)`).join(';');
  pair = await createPair({
    schemas: { monolith: schema, service: schema },
    capability: {
      tables: TABLES.map((table) => ({ monolith: table, service: table, key: { id: 'id' } })),
    },
  });
  const { catalog } = pair.migration.capabilities;
  const migration = defineMigration({
    ...pair.migration,
    capabilities: {
      ...(catalog && {
        catalog: { ...catalog, tables: mapping('own') },
        other: { ...catalog, routes: ['/api/others'], tables: mapping('taken') },
      }),
    },
  });
  const before: Pair = {
    ...pair,
    coordinator: (options) => pair.coordinator({ migration, ...options }),
  };
  sync = startSync(pair, { migration });
  await advanceTo(before, 'cutover');
  await before.coordinator().move({ capability: 'other', event: 'advance' });
});

afterAll(async () => {
  await sync.stop();
  await pair.close();
});

function mapping(...names: Table[]): TableMap[] {
  const { catalog } = pair.migration.capabilities;
  return (catalog?.tables ?? []).filter(({ monolith }) =>
    names.some((name) => monolith.includes(name)),
  );
}

/** The monolith's side of a definition that maps these. */
async function closed<T>(names: Table[], work: (side: Participant) => Promise<T>): Promise<T> {
  const logins = pair.connections.monolith.database;
  if (!logins) throw new Error('no logins');
  const side = await Participant.open({
    ...{ capability: 'catalog', side: 'monolith', logins, tables: mapping(...names) },
    labels: { monolith: 'the monolith', service: 'service "catalog"' },
  });
  try {
    return await work(side);
  } finally {
    await side.close();
  }
}

/** Whether the monolith's application may write there. */
const mayWrite = (table: Table): Promise<boolean> =>
  withClient(pair.monolithAppUrl, SESSION, (client) =>
    client.query(`BEGIN; INSERT INTO ${table} VALUES (1); ROLLBACK`).then(
      () => true,
      () => false,
    ),
  );

const mend = (side: Participant) =>
  pair.store.readOne('catalog').then(({ epoch }) => mendFence(side, 'service', epoch));

test.each<[string, Table]>([
  ['has been given under way', 'added'],
  ['has been given although another capability has it', 'taken'],
])('a table that the definition %s gets no fence', async (_, table) => {
  await closed(['own', table], async (side) => {
    // As a rehearsal and a write canary do: nothing enters by that.
    await side.prepare((await pair.store.readOne('catalog')).epoch);
    expect(await hasGaps(side, 'service')).toBe(false);
    expect(await mend(side)).toEqual(NOTHING);
  });
  expect(await mayWrite(table)).toBe(true);
  expect(await mayWrite('own')).toBe(false);
});

test('nor does one that a capability is given while it is copied', async () => {
  const logins = pair.connections.services['catalog']?.database;
  if (!logins) throw new Error('no logins');
  const side = await Participant.open({
    ...{ capability: 'other', side: 'service', logins, tables: mapping('taken', 'added') },
    labels: { monolith: 'the monolith', service: 'service "catalog"' },
  });
  try {
    expect(await hasGaps(side, 'monolith')).toBe(false);
    await pair.service.query('DROP TRIGGER banyan_fence_insert ON taken');
    expect(await hasGaps(side, 'monolith')).toBe(true);
    const { epoch } = await pair.store.readOne('other');
    expect(await mendFence(side, 'monolith', epoch)).toEqual({
      ...NOTHING,
      restored: ['public.taken'],
    });
  } finally {
    await side.close();
  }
});

test('beside them a trigger that is dropped from a table that has entered stands again', async () => {
  await pair.monolith.query('DROP TRIGGER banyan_fence_insert ON own');
  expect(await mayWrite('own')).toBe(true);
  await closed([...TABLES], async (side) => {
    expect(await hasGaps(side, 'service')).toBe(true);
    expect(await mend(side)).toEqual({ ...NOTHING, restored: ['public.own'] });
    expect(await hasGaps(side, 'service')).toBe(false);
  });
  expect(await mayWrite('own')).toBe(false);
  expect(await mayWrite('added')).toBe(true);
  expect(await mayWrite('taken')).toBe(true);
});
