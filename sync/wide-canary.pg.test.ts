// A write canary over a lens of several columns: what both sides say alike is no conflict, however it is
// written.
import { afterEach, expect, test } from '@jest/globals';
import { unpack } from '../control/lenses.ts';
import { CLEAN, verified, viewsOf } from '../test/support/mapped.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import { conflicts, settled, share, unshare } from '../test/support/sharing.ts';
import { advanceTo, equal, logGate, startSync, type RunningSync } from '../test/support/sync.ts';

let pair: Pair;
let sync: RunningSync | undefined;

afterEach(async () => {
  await sync?.stop();
  await pair.close();
});

test.each(['json', 'jsonb'])('an object of type %s is compared by what it says', async (type) => {
  pair = await createPair({
    schemas: {
      monolith: `CREATE TABLE m (id integer PRIMARY KEY, attrs ${type}); ALTER TABLE m REPLICA IDENTITY FULL`,
      service: `CREATE TABLE s (id integer PRIMARY KEY, color text, size text); ALTER TABLE s REPLICA IDENTITY FULL`,
    },
    capability: {
      tables: [
        {
          ...{ monolith: 'm', service: 's', key: { id: 'id' } },
          lenses: [unpack('attrs', { colour: 'color', size: 'size' })],
        },
      ],
      canary: { writes: true },
    },
  });
  const same = viewsOf(
    pair,
    `SELECT id, attrs ->> 'colour' AS color, attrs ->> 'size' AS size FROM m ORDER BY id`,
    'SELECT id, color, size FROM s ORDER BY id',
  );
  await pair.monolith.query(
    `INSERT INTO m VALUES (1, '{"size":"L",   "colour" :"red"}'), (2, '{ "colour":"blue","size":"S" }'), (3, '{"size":"M","colour":"sand"}')`,
  );
  await advanceTo(pair, 'sync');
  const gate = logGate();
  sync = startSync(pair, { wrapLog: (log) => gate.wrap(log) });
  await advanceTo(pair, 'canary');
  await share(pair);
  await pair.service.query(`UPDATE s SET color = 'green' WHERE id = 1; DELETE FROM s WHERE id = 2`);
  await settled(pair);
  await equal(pair, same);
  expect(await conflicts(pair)).toEqual([]);
  expect((await pair.monolith.query('SELECT id FROM m ORDER BY 1')).rows).toEqual([
    { id: 1 },
    { id: 3 },
  ]);
  expect(await verified(pair)).toEqual(CLEAN);
  gate.shut();
  await pair.monolith.query(`UPDATE m SET attrs = '{"colour":"grey","size":"M"}' WHERE id = 3`);
  await pair.service.query(`UPDATE s SET color = 'pink' WHERE id = 3`);
  gate.open();
  await settled(pair);
  await equal(pair, same);
  const [judged] = await conflicts(pair);
  const attrs = [judged?.owner, judged?.incoming, judged?.before].map((row) => row?.['attrs']);
  expect(attrs.map((one) => JSON.parse(one ?? 'null') as unknown)).toEqual(
    ['grey', 'pink', 'sand'].map((colour) => ({ colour, size: 'M' })),
  );
  await unshare(pair);
});
