// Tables that merge, and rows that do not belong: copied, followed while both sides are written in turn,
// carried back after a cutover, and found equal by verify.
import { afterEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { sqlState, withClient } from '../core/postgres/connect.ts';
import type { MigrationInput } from '../control/definition.ts';
import { appliersOf, CLEAN, letters, verified, viewsOf } from '../test/support/mapped.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import {
  advanceTo,
  equal,
  startGated,
  startSync,
  streaming,
  type RunningSync,
  type Views,
} from '../test/support/sync.ts';
import { retryLetters, skipLetter } from './letter-box.ts';

type Tables = NonNullable<MigrationInput['capabilities'][string]['tables']>;

let pair: Pair;
let sync: RunningSync | undefined;

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

async function start(monolith: string, service: string, tables: Tables): Promise<void> {
  pair = await createPair({ schemas: { monolith, service }, capability: { tables } });
}

const MERGE: Tables = [
  {
    monolith: ['item', 'note'],
    service: 'thing',
    key: { id: 'id', 'note.item_id': 'id' },
    columns: { nm: 'name', 'note.body': 'body', 'note.len': 'body_length' },
    shared: { monolith: ['note.seen'], service: [] },
  },
];
const mergeSchemas = (reference: string): [string, string] => [
  `CREATE TABLE item (id integer PRIMARY KEY, nm text NOT NULL);
   CREATE TABLE note (item_id integer PRIMARY KEY ${reference}, body text, len integer, seen integer NOT NULL DEFAULT 0)`,
  `CREATE TABLE thing (id integer PRIMARY KEY, name text NOT NULL, body text, body_length integer)`,
];
const MERGED = (): Views =>
  viewsOf(
    pair,
    'SELECT id, nm AS name, body, len AS body_length FROM item LEFT JOIN note ON item_id = id ORDER BY id',
    'SELECT id, name, body, body_length FROM thing ORDER BY id',
  );

test.each(['', 'REFERENCES item ON UPDATE CASCADE ON DELETE CASCADE'])(
  'two tables merge into one, whichever of them changes first (note … %s)',
  async (reference) => {
    await start(...mergeSchemas(reference), MERGE);
    const same = MERGED();
    const loose = reference === '';
    await pair.monolith.query(`
      INSERT INTO item SELECT i, 'n' || i FROM generate_series(1, 10) i;
      INSERT INTO note SELECT i, 'b' || i, i FROM generate_series(3, 10) i`);
    if (loose) await pair.monolith.query(`INSERT INTO note VALUES (50, 'orphan', 1)`);
    // What only the service has must go, row or part.
    await pair.service.query(`INSERT INTO thing VALUES (1, 'x', 'stray', 5), (99, 'y', 'z', 1)`);
    await pair.coordinator().move({ capability: 'catalog', event: 'advance', replaceTarget: true });
    sync = startSync(pair, { chunkRows: 3 });
    await streaming(pair, 'to');
    await equal(pair, same);
    await pair.monolith.query(`
      UPDATE note SET body = 'new' WHERE item_id = 4;
      UPDATE note SET seen = 1;
      DELETE FROM note WHERE item_id = 5;
      INSERT INTO note VALUES (1, 'first', 1);
      INSERT INTO item VALUES (20, 'alone'), (21, 'both'); INSERT INTO note VALUES (21, 'both', 4);
      UPDATE item SET nm = 'renamed' WHERE id IN (6, 7);
      UPDATE item SET id = 30 WHERE id = 8; ${loose ? 'UPDATE note SET item_id = 30 WHERE item_id = 8;' : ''}
      DELETE FROM item WHERE id = 9`);
    if (loose) {
      await pair.monolith.query(`INSERT INTO note VALUES (60, 'early', 1)`);
      await streaming(pair, 'to');
      // The orphans' drivers come, the one with its part long there, the other with one of just now.
      await pair.monolith.query(
        `INSERT INTO item VALUES (50, 'found'), (60, 'late'), (9, 'again')`,
      );
    }
    await equal(pair, same);
    expect(await verified(pair)).toEqual(CLEAN);
    await withClient(appliersOf(pair).to, SESSION, (client) =>
      client.query(`UPDATE thing SET body = 'wrong' WHERE id IN (2, 4)`),
    );
    // 2 has no note: a part's values without the part.
    expect(await verified(pair)).toMatchObject({ different: 2, missing: 0, extra: 0 });
    await pair.monolith.query(
      `INSERT INTO note VALUES (2, 'put right', 1); UPDATE note SET body = 'b' WHERE item_id = 4`,
    );
    await equal(pair, same);
    if (loose) {
      await pair.monolith.query('TRUNCATE item');
      await equal(pair, same);
      await pair.monolith.query(`INSERT INTO item SELECT item_id, 'anew' FROM note`);
      await equal(pair, same);
    }
    await pair.monolith.query('TRUNCATE note');
    await equal(pair, same);
    await pair.monolith.query(`INSERT INTO note SELECT id, 'b', 1 FROM item WHERE id < 4`);
    await advanceTo(pair, 'cutover');
    await pair.service.query(`
      UPDATE thing SET name = 'by the service' WHERE id IN (1, 6);
      UPDATE thing SET body = NULL, body_length = NULL WHERE id = 2;
      UPDATE thing SET body = 'a note now', body_length = 3 WHERE id = 7;
      INSERT INTO thing VALUES (70, 'with', 'note', 4), (71, 'without', NULL, NULL);
      DELETE FROM thing WHERE id = 3`);
    await equal(pair, same);
    const { rows } = await pair.monolith.query(
      'SELECT item_id, body FROM note WHERE item_id IN (2, 3, 6, 7, 70, 71) ORDER BY 1',
    );
    // A part that says nothing is not put in, and stays where it was.
    expect(rows).toEqual([
      { item_id: 2, body: null },
      { item_id: 7, body: 'a note now' },
      { item_id: 70, body: 'note' },
    ]);
    expect(await verified(pair)).toEqual(CLEAN);
  },
);

test('a part waits for its driver through restarts, refusals and whatever else may come between', async () => {
  await start(...mergeSchemas(''), MERGE);
  const same = MERGED();
  await advanceTo(pair, 'sync');
  sync = startSync(pair, { chunkRows: 3 });
  await streaming(pair, 'to');
  // Its driver comes while it is being found out that there is none.
  for (let id = 100; id < 140; id++) {
    await pair.monolith.query(`INSERT INTO note VALUES (${id}, 'early', 1)`);
    await pair.monolith.query(`INSERT INTO item VALUES (${id}, 'late')`);
  }
  await equal(pair, same);
  await pair.monolith.query(`INSERT INTO note VALUES (1, 'first', 1), (2, 'first', 1)`);
  await streaming(pair, 'to');
  await pair.monolith.query(`UPDATE note SET body = 'second' WHERE item_id < 3`);
  await streaming(pair, 'to');
  await sync.stop();
  sync = startSync(pair, { chunkRows: 3 });
  await streaming(pair, 'to');
  await withClient(appliersOf(pair).to, SESSION, () =>
    pair.service.query(`ALTER TABLE thing ADD CONSTRAINT named CHECK (name <> 'bad')`),
  );
  await pair.monolith.query(`INSERT INTO item VALUES (1, 'good'), (2, 'bad')`);
  await letters(pair, 1);
  await pair.service.query('ALTER TABLE thing DROP CONSTRAINT named');
  await retryLetters('catalog', appliersOf(pair));
  await equal(pair, same);
  expect(await verified(pair)).toEqual(CLEAN);
});

test.each(['', 'ALTER TABLE item ADD FOREIGN KEY (own) REFERENCES note'])(
  'a way back that is copied again takes along a part without a thing, and none that never had a driver (%s)',
  async (reference) => {
    const [monolith, service] = mergeSchemas('');
    await start(
      `${monolith}; ALTER TABLE item ADD COLUMN own integer; ${reference}`,
      service,
      MERGE.map((table) => ({ ...table, shared: { monolith: ['own', 'note.seen'], service: [] } })),
    );
    await pair.monolith.query(`
      INSERT INTO item SELECT i, 'n' FROM generate_series(1, 6) i;
      INSERT INTO note SELECT i, 'b', 1 FROM generate_series(1, 5) i;
      INSERT INTO note VALUES (50, 'orphan', 1), (51, 'orphan', 1)`);
    await advanceTo(pair, 'sync');
    sync = startSync(pair, { chunkRows: 3 });
    await advanceTo(pair, 'cutover');
    await sync.stop();
    // The stream does not tell of what goes now.
    await pair.service.query(`ALTER PUBLICATION banyan_catalog_back SET (publish = 'insert')`);
    await pair.service.query('DELETE FROM thing WHERE id IN (3, 6)');
    await pair.service.query(
      `ALTER PUBLICATION banyan_catalog_back SET (publish = 'insert, update, delete, truncate')`,
    );
    sync = startSync(pair, { chunkRows: 3 });
    await streaming(pair, 'back');
    await equal(pair, MERGED());
    const { rows } = await pair.monolith.query('SELECT item_id AS id, body FROM note ORDER BY 1');
    expect(rows).toEqual([
      ...[1, 2, 4, 5].map((id) => ({ id, body: 'b' })),
      ...[50, 51].map((id) => ({ id, body: 'orphan' })),
    ]);
  },
);

test('a part stays when a long value of its row was not sent', async () => {
  await start(
    `CREATE TABLE item (id integer PRIMARY KEY, nm text NOT NULL);
     CREATE TABLE note (item_id integer PRIMARY KEY REFERENCES item ON UPDATE CASCADE ON DELETE CASCADE, body text NOT NULL)`,
    `CREATE TABLE thing (id integer PRIMARY KEY, name text NOT NULL, body text);
     ALTER TABLE thing ALTER COLUMN body SET STORAGE EXTERNAL`,
    [
      {
        monolith: ['item', 'note'],
        service: 'thing',
        key: { id: 'id', 'note.item_id': 'id' },
        columns: { nm: 'name', 'note.body': 'body' },
      },
    ],
  );
  const same = viewsOf(
    pair,
    'SELECT id, nm AS name, md5(body) AS body FROM item LEFT JOIN note ON item_id = id ORDER BY id',
    'SELECT id, name, md5(body) AS body FROM thing ORDER BY id',
  );
  await pair.monolith.query(`
    INSERT INTO item SELECT i, 'n' FROM generate_series(1, 4) i;
    INSERT INTO note SELECT i, repeat('long ', 1000) FROM generate_series(1, 3) i`);
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
  await advanceTo(pair, 'cutover');
  await pair.service.query(`
    UPDATE thing SET name = 'other' WHERE id IN (1, 4);
    UPDATE thing SET id = 20 WHERE id = 2;
    UPDATE thing SET body = NULL WHERE id = 3`);
  await equal(pair, same);
  expect((await pair.monolith.query('SELECT item_id FROM note ORDER BY 1')).rows).toEqual([
    { item_id: 1 },
    { item_id: 20 },
  ]);
});

const FILTERED: Tables = [
  {
    monolith: 'item',
    service: 'book',
    key: { id: 'id' },
    columns: { nm: 'title', sts: 'state' },
    stays: { kind: { to: 'kind', default: 'book' } },
    shared: { monolith: ['own'], service: [] },
    where: { kind: 'book', sts: ['A', 'B'] },
  },
];
const FILTER_SCHEMAS: [string, string] = [
  `CREATE TABLE item (id integer PRIMARY KEY, nm text NOT NULL, kind char(6) NOT NULL, sts text, own integer)`,
  `CREATE TABLE book (id integer PRIMARY KEY, title text NOT NULL, state text, kind text)`,
];
const BOOKS = (): Views =>
  viewsOf(
    pair,
    `SELECT id, nm AS title, sts AS state FROM item WHERE kind = 'book' AND sts IN ('A', 'B') ORDER BY id`,
    'SELECT id, title, state FROM book ORDER BY id',
  );

test('only the rows that belong move; the others stay the monolith’s own, before and after', async () => {
  await start(...FILTER_SCHEMAS, FILTERED);
  const same = BOOKS();
  await pair.monolith.query(`
    INSERT INTO item SELECT i, 'n' || i, CASE i % 3 WHEN 0 THEN 'cd' ELSE 'book' END, CASE i % 5 WHEN 0 THEN NULL ELSE 'A' END FROM generate_series(1, 20) i`);
  await pair.service.query(
    `INSERT INTO book VALUES (3, 'a cd', 'A', 'cd'), (99, 'stray', 'A', 'book')`,
  );
  await pair.coordinator().move({ capability: 'catalog', event: 'advance', replaceTarget: true });
  sync = startSync(pair, { chunkRows: 3 });
  await streaming(pair, 'to');
  await equal(pair, same);
  await pair.monolith.query(`
    UPDATE item SET kind = 'cd' WHERE id IN (1, 2);
    UPDATE item SET kind = 'book' WHERE id IN (3, 6);
    UPDATE item SET sts = 'B' WHERE id IN (4, 5);
    UPDATE item SET sts = 'C' WHERE id = 7;
    UPDATE item SET id = 40 WHERE id = 8;
    UPDATE item SET id = 41, kind = 'cd' WHERE id = 11;
    INSERT INTO item VALUES (30, 'a cd', 'cd', 'A'), (31, 'a book', 'book', 'A');
    DELETE FROM item WHERE id IN (9, 13)`);
  await equal(pair, same);
  expect(await verified(pair)).toEqual(CLEAN);
  await advanceTo(pair, 'cutover');

  // The monolith goes on with what is its own, and is refused the rest, and to move a row across.
  const others = `SELECT id, nm, kind, sts, own FROM item WHERE NOT (kind = 'book' AND coalesce(sts IN ('A', 'B'), false)) ORDER BY id`;
  await withClient(pair.monolithAppUrl, SESSION, async (app) => {
    await app.query(`INSERT INTO item VALUES (50, 'own', 'cd', 'A'), (51, 'own', 'book', NULL)`);
    await app.query(`UPDATE item SET nm = 'own' WHERE kind = 'cd'`);
    await app.query(`DELETE FROM item WHERE id = 12`);
    await app.query(`UPDATE item SET own = 1`);
    for (const refused of [
      `INSERT INTO item VALUES (60, 'n', 'book', 'A')`,
      `UPDATE item SET nm = 'mine' WHERE id = 4`,
      `UPDATE item SET kind = 'cd' WHERE id = 4`,
      `UPDATE item SET kind = 'book' WHERE id = 50`,
      `UPDATE item SET sts = NULL WHERE id = 4`,
      `DELETE FROM item WHERE id = 4`,
      'TRUNCATE item',
    ])
      expect(await app.query(refused).then(() => refused, sqlState)).toBe('BN001');
  });
  const before = (await pair.monolith.query(others)).rows;
  await pair.service.query(`
    INSERT INTO book VALUES (100, 'by the service', 'B', 'book');
    UPDATE book SET title = 'by the service' WHERE id = 4;
    DELETE FROM book WHERE id = 5`);
  await equal(pair, same);
  expect(await verified(pair)).toEqual(CLEAN);
  // A key that one of the monolith's own rows has; a value that would take a row out; both wait.
  await pair.service.query(`
    INSERT INTO book VALUES (50, 'the same key', 'A', 'book');
    UPDATE book SET state = 'Z' WHERE id = 4`);
  const parked = await letters(pair, 2);
  expect(parked.map(({ error }) => error).join('\n')).toMatch(
    /does not belong to the capability has the key[^]*"Z" in sts takes the row out/,
  );
  await pair.service.query(
    `DELETE FROM book WHERE id = 50; UPDATE book SET state = 'A' WHERE id = 4`,
  );
  await letters(pair, 4);
  for (const { id } of parked) await skipLetter('catalog', appliersOf(pair), 'back', id);
  await retryLetters('catalog', appliersOf(pair));
  await equal(pair, same);
  await pair.service.query('TRUNCATE book');
  await equal(pair, same);
  expect((await pair.monolith.query(others)).rows).toEqual(before);
});

test('a row that comes not to belong after its key was found and before its table is copied does not remain', async () => {
  const [items] = FILTERED;
  if (!items) throw new Error('no items');
  const [monolith, service] = FILTER_SCHEMAS;
  // Its table waits for another one.
  const shelf = 'CREATE TABLE shelf (id integer PRIMARY KEY, nm text)';
  await start(
    `${shelf}; ${monolith}; ALTER TABLE item ADD COLUMN shelf integer REFERENCES shelf`,
    `${shelf}; ${service}; ALTER TABLE book ADD COLUMN shelf integer REFERENCES shelf`,
    [
      { monolith: 'shelf', service: 'shelf', key: { id: 'id' }, columns: { nm: 'nm' } },
      { ...items, columns: { ...items.columns, shelf: 'shelf' } },
    ],
  );
  await pair.monolith.query(
    `INSERT INTO item SELECT i, 'n' || i, 'book', 'A' FROM generate_series(1, 20) i`,
  );
  await pair.service.query(`INSERT INTO book SELECT i, 'stale', 'A' FROM generate_series(1, 20) i`);
  await pair.coordinator().move({ capability: 'catalog', event: 'advance', replaceTarget: true });
  const gated = startGated(pair);
  sync = gated;
  // Written after the pruning looked, and decoded before the table is read: the stream alone knows of it.
  gated.gate.shut();
  await waitFor(
    async () => {
      const { rows } = await pair.monolith.query(
        `SELECT 1 FROM pg_stat_activity WHERE application_name = 'banyan-read-catalog-to' AND datname = current_database() AND query LIKE '%pg_logical_emit_message%'`,
      );
      return rows.length > 0;
    },
    { timeoutMs: 30_000, what: 'the pruning to be over and the first mark to be written' },
  );
  await pair.monolith.query(`
    UPDATE item SET kind = 'cd' WHERE id IN (1, 12);
    UPDATE item SET sts = NULL WHERE id = 20;
    UPDATE item SET id = 30, kind = 'cd' WHERE id = 19;
    UPDATE item SET sts = 'B' WHERE id = 2`);
  gated.gate.open();
  await streaming(pair, 'to');
  await equal(pair, BOOKS());
  expect(await verified(pair)).toEqual(CLEAN);
});
