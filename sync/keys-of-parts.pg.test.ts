// Tables of a merge that have their keys in types of their own, or in another order: a way back that is copied
// again finds the driver of each part all the same.
import { afterEach, expect, test } from '@jest/globals';
import { CLEAN, verified, viewsOf } from '../test/support/mapped.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';

let pair: Pair;
let sync: RunningSync;

afterEach(async () => {
  await sync.stop();
  await pair.close();
});

test.each([
  ['in another type', ['integer', 'integer'], ['varchar', 'bigint'], ['a', 'b']],
  ['in another order', ['integer', 'integer'], ['integer', 'integer'], ['b', 'a']],
  ['as another kind of text', ['char(8)', 'text'], ['varchar(8)', 'varchar(8)'], ['a', 'b']],
])('a part that has its key %s goes with its row', async (_, driver, part, order) => {
  const key = ([a, b]: string[]): string => `a ${a ?? ''}, b ${b ?? ''}, PRIMARY KEY (a, b)`;
  const there = driver.map((type) => (type === 'integer' ? type : 'text'));
  pair = await createPair({
    schemas: {
      monolith: `CREATE TABLE item (nm text NOT NULL, ${key(driver)}); CREATE TABLE note (body text, ${key(part)})`,
      service: `CREATE TABLE thing (name text NOT NULL, body text, ${key(there)})`,
    },
    capability: {
      tables: [
        {
          ...{ monolith: ['item', 'note'], service: 'thing' },
          key: { a: 'a', b: 'b', ...Object.fromEntries(order.map((one) => [`note.${one}`, one])) },
          columns: { nm: 'name', 'note.body': 'body' },
        },
      ],
    },
  });
  await pair.monolith.query(`
    INSERT INTO item SELECT 'n', i, i + 1 FROM generate_series(1, 6) i;
    INSERT INTO note (a, b, body) SELECT i, i + 1, 'b' FROM generate_series(1, 5) i;
    INSERT INTO note (a, b, body) VALUES ('50', '51', 'orphan')`);
  await advanceTo(pair, 'sync');
  sync = startSync(pair, { chunkRows: 3 });
  await advanceTo(pair, 'cutover');
  await sync.stop();
  // The stream does not tell of what goes now.
  await pair.service.query(`ALTER PUBLICATION banyan_catalog_back SET (publish = 'insert')`);
  await pair.service.query(`DELETE FROM thing WHERE a::text IN ('3', '6')`);
  await pair.service.query(
    `ALTER PUBLICATION banyan_catalog_back SET (publish = 'insert, update, delete, truncate')`,
  );
  sync = startSync(pair, { chunkRows: 3 });
  await streaming(pair, 'back');
  await equal(
    pair,
    viewsOf(
      pair,
      `SELECT trim(a::text) AS a, body FROM note WHERE body <> 'orphan' ORDER BY 1`,
      `SELECT trim(a::text) AS a, body FROM thing ORDER BY 1`,
    ),
  );
  const { rows } = await pair.monolith.query(`SELECT 1 FROM note WHERE body = 'orphan'`);
  expect(rows).toHaveLength(1);
  expect(await verified(pair)).toEqual(CLEAN);
});
