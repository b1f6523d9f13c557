// A capability that enters again while something of an earlier time has stayed, because an edge is cut off: what
// it has there from now on is what it is given now.
import { afterEach, expect, test } from '@jest/globals';
import { createPair, type Pair } from '../test/support/pair.ts';
import { advanceTo, startSync, streaming, type RunningSync } from '../test/support/sync.ts';
import { defineMigration } from './define.ts';

let pair: Pair;
let sync: RunningSync;

afterEach(async () => {
  await sync.stop();
  await pair.close();
});

test('the fence of a table that the mapping was given meanwhile is mended like the others', async () => {
  const schema =
    'CREATE TABLE own (id integer PRIMARY KEY); CREATE TABLE more (id integer PRIMARY KEY)';
  pair = await createPair({
    schemas: { monolith: schema, service: schema },
    capability: {
      tables: ['own', 'more'].map((table) => ({
        ...{ monolith: table, service: table, key: { id: 'id' } },
      })),
    },
  });
  const { catalog } = pair.migration.capabilities;
  if (!catalog) throw new Error('no capability');
  const migration = defineMigration({
    ...pair.migration,
    capabilities: { catalog: { ...catalog, tables: catalog.tables.slice(0, 1) } },
  });
  const former: Pair = {
    ...pair,
    coordinator: (options) => pair.coordinator({ migration, ...options }),
  };
  sync = startSync(pair, { migration });
  await advanceTo(former, 'cutover');
  await streaming(pair, 'back');
  await pair.db('banyan.replica').insert({
    id: 'cut-off',
    heartbeat_at: pair.db.raw(`clock_timestamp() - interval '10 seconds'`),
  });
  expect(await former.coordinator().abort({ capability: 'catalog', losing: true })).toMatchObject({
    astray: ['cut-off'],
  });
  await sync.stop();
  sync = startSync(pair);
  await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
  expect((await pair.store.readOne('catalog')).phase).toBe('sync');
  for (const table of ['own', 'more'])
    await pair.service.query(`DROP TRIGGER banyan_fence_insert ON ${table}`);
  const mended = await pair.coordinator().mendFences('catalog');
  expect(mended.flatMap(({ restored }) => restored).sort()).toEqual(['public.more', 'public.own']);
});
