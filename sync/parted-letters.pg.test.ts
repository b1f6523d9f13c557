// A row that several tables make up, of which one's change is parked, while the others are copied again.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { appliersOf, CLEAN, letters, verified, viewsOf } from '../test/support/mapped.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';
import { retryLetters } from './letter-box.ts';

let pair: Pair;
let sync: RunningSync;

beforeEach(async () => {
  pair = await createPair({
    schemas: {
      monolith: `CREATE TABLE item (id integer PRIMARY KEY, nm text NOT NULL);
                 CREATE TABLE note (item_id integer PRIMARY KEY, body text)`,
      service: 'CREATE TABLE thing (id integer PRIMARY KEY, name text NOT NULL, body text)',
    },
    capability: {
      tables: [
        {
          monolith: ['item', 'note'],
          service: 'thing',
          key: { id: 'id', 'note.item_id': 'id' },
          columns: { nm: 'name', 'note.body': 'body' },
        },
      ],
    },
  });
});

afterEach(async () => {
  await sync.stop();
  await pair.close();
});

test('what a copy read of the other tables is read again when a parked part is applied', async () => {
  const same = viewsOf(
    pair,
    'SELECT id, nm AS name, body FROM item LEFT JOIN note ON item_id = id ORDER BY id',
    'SELECT id, name, body FROM thing ORDER BY id',
  );
  await pair.monolith.query(`
    INSERT INTO item SELECT i, 'n' FROM generate_series(1, 3) i;
    INSERT INTO note SELECT i, 'b' FROM generate_series(1, 3) i`);
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
  await streaming(pair, 'to');
  await equal(pair, same);
  await pair.service.query(`ALTER TABLE thing ADD CONSTRAINT good CHECK (body <> 'bad')`);
  await pair.monolith.query(`UPDATE note SET body = 'bad' WHERE item_id = 2`);
  await letters(pair, 1);
  // No row of it is in the stream: that table alone is copied again.
  await pair.monolith.query(`ALTER TABLE item ALTER nm TYPE varchar(20) USING 'new'`);
  await waitFor(
    async () => {
      const { rows } = await pair.service.query(`SELECT 1 FROM thing WHERE name = 'new'`);
      return rows.length === 2;
    },
    { timeoutMs: 60_000, what: 'the table to be copied again' },
  );
  await pair.service.query('ALTER TABLE thing DROP CONSTRAINT good');
  await retryLetters('catalog', appliersOf(pair));
  await equal(pair, same);
  expect(await verified(pair)).toEqual(CLEAN);
});
