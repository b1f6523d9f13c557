// What a verification holds of rows that differ until it repairs them: their keys, and not their values.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, expect, test } from '@jest/globals';
import { withClient } from '../core/postgres/connect.ts';
import { appliersOf, viewsOf } from '../test/support/mapped.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';
import { verify } from './verify.ts';

const MB = 1_048_576;

let pair: Pair;
let sync: RunningSync;

afterEach(async () => {
  await sync.stop();
  await pair.close();
});

test('rows that differ are repaired without all of their values in memory at once', async () => {
  pair = await createPair({
    schemas: {
      monolith: 'CREATE TABLE item (id integer PRIMARY KEY, nm text)',
      service: 'CREATE TABLE thing (id integer PRIMARY KEY, name text)',
    },
    capability: {
      tables: [
        { ...{ monolith: 'item', service: 'thing', key: { id: 'id' } }, columns: { nm: 'name' } },
      ],
    },
  });
  await pair.monolith.query(
    `INSERT INTO item SELECT i, repeat('x', 100000) FROM generate_series(1, 200) i`,
  );
  await advanceTo(pair, 'sync');
  sync = startSync(pair, { chunkRows: 50 });
  await streaming(pair, 'to');
  await withClient(appliersOf(pair).to, SESSION, (client) =>
    client.query(`UPDATE thing SET name = repeat('y', 100000)`),
  );
  const capability = pair.migration.capabilities['catalog'];
  const [monolith, service] = [
    pair.connections.monolith.database,
    pair.connections.services['catalog']?.database,
  ];
  if (!capability || !monolith || !service) throw new Error('no capability');
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  const held: number[] = [];
  // It is asked between two reads.
  const signal = Object.assign(new AbortController().signal, {
    throwIfAborted: () => {
      gc();
      held.push(process.memoryUsage().heapUsed / MB);
    },
  });
  const found = await verify({
    ...{ id: 'catalog', capability, monolith, service, signal },
    ...{ repairFrom: 'monolith', chunkRows: 20 },
  });
  expect(found).toMatchObject({ different: 200, missing: 0, extra: 0, unsettled: 0 });
  expect(Math.max(...held) - (held[0] ?? 0)).toBeLessThan(20);
  await equal(
    pair,
    viewsOf(
      pair,
      'SELECT id, md5(nm) AS nm FROM item ORDER BY id',
      'SELECT id, md5(name) AS nm FROM thing ORDER BY id',
    ),
  );
});
