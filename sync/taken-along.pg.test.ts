// A target whose foreign keys take rows along: a parent that the source deletes and puts in again in one
// transaction, before it looks at its own foreign keys, must not cost the target any of its children.
import { afterEach, expect, test } from '@jest/globals';
import { createPair, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';

let pair: Pair;
let sync: RunningSync | undefined;

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

/** A tree of nodes, leaves of two kinds that hang on them, and what knows its leaf by its own key. */
function tables(names: readonly string[], then: (kind: 'CASCADE' | 'SET NULL') => string): string {
  const [node = '', leaf = '', mark = '', face = ''] = names;
  return `
    CREATE TABLE ${node} (id integer PRIMARY KEY, code text UNIQUE, up integer REFERENCES ${node} ${then('CASCADE')});
    CREATE TABLE ${leaf} (id integer PRIMARY KEY, node integer NOT NULL REFERENCES ${node} ${then('CASCADE')});
    CREATE TABLE ${mark} (id integer PRIMARY KEY, node integer REFERENCES ${node} ${then('SET NULL')});
    CREATE TABLE ${face} (leaf integer PRIMARY KEY REFERENCES ${leaf} ${then('CASCADE')}, body text);`;
}

const ROWS = 200;

async function begin(source: string, before = ''): Promise<void> {
  pair = await createPair({
    schemas: {
      monolith: tables(['m_node', 'm_leaf', 'm_mark', 'm_face'], () => source),
      service: `${tables(['node', 'leaf', 'mark', 'face'], (kind) => `ON DELETE ${kind}`)}
        ALTER TABLE node ADD COLUMN note text; ALTER TABLE leaf ADD COLUMN note text`,
    },
    capability: {
      tables: [
        {
          ...{ monolith: 'm_node', service: 'node', key: { id: 'id' } },
          columns: { code: 'code', up: 'up' },
        },
        { monolith: 'm_leaf', service: 'leaf', key: { id: 'id' }, columns: { node: 'node' } },
        { monolith: 'm_mark', service: 'mark', key: { id: 'id' }, columns: { node: 'node' } },
        { monolith: 'm_face', service: 'face', key: { leaf: 'leaf' }, columns: { body: 'body' } },
      ],
    },
  });
  await pair.monolith.query(`
    INSERT INTO m_node SELECT i, 'c' || i, nullif(i / 2, 0) FROM generate_series(1, ${ROWS}) i;
    INSERT INTO m_leaf SELECT i, i FROM generate_series(1, ${ROWS}) i;
    INSERT INTO m_mark SELECT i, i FROM generate_series(1, ${ROWS}) i;
    INSERT INTO m_face SELECT i, 'f' FROM generate_series(1, ${ROWS}) i`);
  await pair.monolith.query(before);
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
  await streaming(pair, 'to');
  await pair.service.query(`UPDATE node SET note = 'ours'; UPDATE leaf SET note = 'ours'`);
}

/** What both sides have, in the words of the source. */
async function views(): Promise<{ monolith: unknown[]; service: unknown[] }> {
  const read = async (from: 'monolith' | 'service', prefix: string): Promise<unknown[]> => {
    const { rows } = await pair[from].query<Record<string, unknown>>(`
      SELECT 'node' AS kind, id, code AS what, up AS other FROM ${prefix}node
      UNION ALL SELECT 'leaf', id, NULL, node FROM ${prefix}leaf
      UNION ALL SELECT 'mark', id, NULL, node FROM ${prefix}mark
      UNION ALL SELECT 'face', leaf, body, NULL FROM ${prefix}face ORDER BY kind, id`);
    return rows;
  };
  return { monolith: await read('monolith', 'm_'), service: await read('service', '') };
}

async function numberOf(text: string): Promise<number> {
  const { rows } = await pair.service.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM ${text}`,
  );
  return rows[0]?.n ?? -1;
}

const DEFERRED = 'DEFERRABLE INITIALLY DEFERRED';
const ANEW = (where: string): string => `
  CREATE TEMP TABLE was AS SELECT * FROM m_node WHERE ${where};
  BEGIN; DELETE FROM m_node WHERE ${where};
  INSERT INTO m_node SELECT id, code || '!', up FROM was; COMMIT; DROP TABLE was;`;

test('a row that goes and comes again keeps what points to it, and what the target alone knows of that', async () => {
  await begin(DEFERRED);
  await pair.monolith.query(ANEW('id IN (1, 2, 50)'));
  await equal(pair, views);
  expect(await numberOf(`leaf WHERE note = 'ours'`)).toBe(ROWS);
  // It is a new row all the same.
  expect(await numberOf(`node WHERE note IS NULL`)).toBe(3);
});

test('so it does where the new row comes long after the old one has gone', async () => {
  await begin(DEFERRED);
  await pair.monolith.query(`BEGIN; CREATE TEMP TABLE was AS TABLE m_node; DELETE FROM m_node;
    INSERT INTO m_mark SELECT i, NULL FROM generate_series(${ROWS + 1}, ${ROWS} + 12000) i;
    INSERT INTO m_node TABLE was; COMMIT`);
  await equal(pair, views);
});

test('and where another row, which the target refuses, has the changes written one by one', async () => {
  await begin(DEFERRED);
  await pair.service.query('ALTER TABLE mark ADD CHECK (id <> 0)');
  await pair.monolith.query(`INSERT INTO m_mark VALUES (0, 1); ${ANEW('id < 20')}`);
  await pair.monolith.query('DELETE FROM m_mark WHERE id = 0');
  await equal(pair, views);
});

const FREE = `
  ALTER TABLE m_node DROP CONSTRAINT m_node_up_fkey; ALTER TABLE m_leaf DROP CONSTRAINT m_leaf_node_fkey;
  ALTER TABLE m_mark DROP CONSTRAINT m_mark_node_fkey`;

test('a source without foreign keys leaves children without a parent, which are there again when it is', async () => {
  await begin('', FREE);
  await pair.monolith.query(
    `CREATE TABLE was AS TABLE m_node; DELETE FROM m_node WHERE id IN (3, 70)`,
  );
  await streaming(pair, 'to');
  await pair.monolith.query('INSERT INTO m_node SELECT * FROM was WHERE id IN (3, 70)');
  await equal(pair, views);
});

test('so are those of a table that is emptied and filled anew', async () => {
  await begin('', FREE);
  await pair.monolith.query(
    `BEGIN; CREATE TEMP TABLE was AS TABLE m_node; TRUNCATE m_node; INSERT INTO m_node TABLE was; COMMIT`,
  );
  await equal(pair, views);
});
