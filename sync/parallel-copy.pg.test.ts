// Tables that are copied side by side: independent ones at once, the others behind their parents, all
// of them right under load; the copy paused by itself, and held to a number of rows a second.
// `SEEDS=50 npm test -- sync/parallel-copy` soaks, `SEED=n` runs one of them again.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { sleep, waitFor } from '../core/lifecycle.ts';
import { connect, sqlState } from '../core/postgres/connect.ts';
import type { MigrationInput } from '../control/definition.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { randomOf, seeds } from '../test/support/random.ts';
import { equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';

const SCHEMA = `
CREATE TABLE shelf (id integer PRIMARY KEY, name text NOT NULL);
CREATE TABLE book (id integer PRIMARY KEY, shelf_id integer REFERENCES shelf, title text, body text);
CREATE TABLE reader (id integer PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE loan (book_id integer REFERENCES book, reader_id integer REFERENCES reader, since date, PRIMARY KEY (book_id, reader_id));
CREATE TABLE visit (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), note text);
CREATE TABLE tag (word text PRIMARY KEY, weight numeric);`;
const COLUMNS: Readonly<Record<string, readonly [readonly string[], readonly string[]]>> = {
  shelf: [['id'], ['name']],
  book: [['id'], ['shelf_id', 'title', 'body']],
  reader: [['id'], ['name']],
  loan: [['book_id', 'reader_id'], ['since']],
  visit: [['id'], ['note']],
  tag: [['word'], ['weight']],
};
const same = (names: readonly string[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, name]));
const TABLES: MigrationInput['capabilities'][string]['tables'] = Object.entries(COLUMNS).map(
  ([name, [key, columns]]) => ({
    monolith: name,
    service: name,
    key: same(key),
    columns: same(columns),
  }),
);

let pair: Pair;
let sync: RunningSync | undefined;

beforeEach(async () => {
  pair = await createPair({
    schemas: { monolith: SCHEMA, service: SCHEMA },
    capability: { tables: TABLES },
  });
  await pair.monolith.query(`
    ALTER TABLE book ALTER COLUMN body SET STORAGE EXTERNAL;
    INSERT INTO shelf SELECT i, 'shelf ' || i FROM generate_series(1, 40) i;
    INSERT INTO book SELECT i, 1 + i % 40, 'book ' || i, repeat('long ', 600 * (i % 3)) FROM generate_series(1, 120) i;
    INSERT INTO reader SELECT i, 'reader ' || i FROM generate_series(1, 100) i;
    INSERT INTO loan SELECT i, 1 + i % 100, '2026-01-01' FROM generate_series(1, 120, 2) i;
    INSERT INTO visit SELECT gen_random_uuid(), 'visit ' || i FROM generate_series(1, 150) i;
    INSERT INTO tag SELECT 'word ' || i, i FROM generate_series(1, 80) i`);
  await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
});

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

async function views(): Promise<{ monolith: unknown[]; service: unknown[] }> {
  const read = async (side: 'monolith' | 'service'): Promise<unknown[]> => {
    const all: unknown[] = [];
    for (const [name, [key]] of Object.entries(COLUMNS))
      all.push(
        ...(await pair[side].query<object>(`SELECT * FROM ${name} ORDER BY ${key.join(', ')}`))
          .rows,
      );
    return all;
  };
  return { monolith: await read('monolith'), service: await read('service') };
}

type Pick = (below: number) => number;
/** Inserts, changes, moved keys and deletes, in every table. */
const KINDS: readonly ((pick: Pick, tag: string) => string)[] = [
  (pick) =>
    `INSERT INTO shelf VALUES (${pick(80)}, 'new') ON CONFLICT (id) DO UPDATE SET name = 'upserted'`,
  (pick) => `UPDATE shelf SET name = 'n${pick(1e6)}' WHERE id = ${pick(60)}`,
  (pick) =>
    `WITH s AS (SELECT ${pick(60)} AS id), u AS (UPDATE book SET shelf_id = NULL WHERE shelf_id = (SELECT id FROM s)) SELECT 1; DELETE FROM shelf WHERE id = ${pick(60)} AND NOT EXISTS (SELECT 1 FROM book WHERE shelf_id = shelf.id)`,
  (pick) =>
    `INSERT INTO book VALUES (${200 + pick(200)}, (SELECT id FROM shelf OFFSET ${pick(20)} LIMIT 1), 'new', repeat('b', ${pick(3000)})) ON CONFLICT (id) DO NOTHING`,
  (pick) => `UPDATE book SET title = 't${pick(1e6)}' WHERE id % 13 = ${pick(13)}`,
  (pick) =>
    `UPDATE book SET body = repeat('${pick(9)}', ${pick(2) * 3000}) WHERE id = ${pick(150)}`,
  (pick) =>
    `UPDATE book SET id = ${pick(400)} - 100 WHERE id = ${pick(150)} AND NOT EXISTS (SELECT 1 FROM loan WHERE book_id = book.id)`,
  (pick) =>
    `DELETE FROM loan WHERE book_id = ${pick(150)}; DELETE FROM book WHERE id = ${pick(150)} AND NOT EXISTS (SELECT 1 FROM loan WHERE book_id = book.id)`,
  (pick, tag) => `INSERT INTO reader VALUES (${200 + pick(300)}, '${tag}') ON CONFLICT DO NOTHING`,
  (pick) => `UPDATE reader SET name = name || '!' WHERE id % 11 = ${pick(11)}`,
  (pick) =>
    `UPDATE reader SET id = ${pick(400)} - 150 WHERE id = ${pick(120)} AND NOT EXISTS (SELECT 1 FROM loan WHERE reader_id = reader.id)`,
  (pick) =>
    `INSERT INTO loan SELECT b.id, r.id, '2026-02-02' FROM (SELECT id FROM book ORDER BY id OFFSET ${pick(90)} LIMIT 1) b, (SELECT id FROM reader ORDER BY id OFFSET ${pick(80)} LIMIT 1) r ON CONFLICT DO NOTHING`,
  (pick) => `UPDATE loan SET since = since + 1 WHERE book_id % 7 = ${pick(7)}`,
  (pick) =>
    `UPDATE loan SET reader_id = (SELECT id FROM reader ORDER BY id OFFSET ${pick(80)} LIMIT 1) WHERE book_id = ${pick(120)}`,
  (_, tag) => `INSERT INTO visit (note) VALUES ('${tag}')`,
  (pick) =>
    `DELETE FROM visit WHERE id IN (SELECT id FROM visit ORDER BY id OFFSET ${pick(140)} LIMIT 2)`,
  (pick) =>
    `UPDATE visit SET id = gen_random_uuid(), note = 'moved' WHERE id IN (SELECT id FROM visit ORDER BY id OFFSET ${pick(140)} LIMIT 2)`,
  (pick, tag) =>
    `UPDATE tag SET word = '${tag}', weight = ${pick(100)} / 4.0 WHERE word = 'word ${pick(80)}'`,
  (pick) => `DELETE FROM tag WHERE word = 'word ${pick(80)}'`,
];

async function load(seed: number, transactions: number): Promise<void> {
  const random = randomOf(seed);
  const pick: Pick = (below) => Math.floor(random() * below);
  const client = await connect(pair.monolithAppUrl, SESSION);
  try {
    for (let done = 0; done < transactions; done++) {
      const parts = Array.from({ length: 1 + pick(3) }, (_, index) =>
        (KINDS[pick(KINDS.length)] as (typeof KINDS)[number])(pick, `L${seed}-${done}-${index}`),
      );
      await client.query(`BEGIN; ${parts.join('; ')}; COMMIT`).catch(async (error: unknown) => {
        if (!/^(23|40)/.test(sqlState(error) ?? '')) throw error;
        await client.query('ROLLBACK');
      });
    }
  } finally {
    await client.end();
  }
}

const withTables = (copyTables: number, copyRowsPerSecond?: number) => ({
  migration: {
    ...pair.migration,
    sync: { ...pair.migration.sync, copyTables, copyRowsPerSecond },
  },
});

test.each(seeds(3))(
  'after a copy of several tables at a time under load both sides are equal (seed %i)',
  async (seed) => {
    const random = randomOf(seed);
    const chunkRows = 2 + Math.floor(random() * 9);
    const writing = Promise.all([1, 2, 3].map((one) => load(seed * 10 + one, 150)));
    sync = startSync(pair, { chunkRows, ...withTables(2 + Math.floor(random() * 3)) });
    await writing;
    await streaming(pair, 'to');
    await equal(pair, views);
    expect((await pair.service.query('SELECT * FROM banyan.reread')).rows).toEqual([]);
    expect((await pair.service.query('SELECT * FROM banyan.parked')).rows).toEqual([]);
  },
);

async function stages(): Promise<Record<string, string>> {
  const { rows } = await pair.service.query<{ name: string; stage: string }>(
    'SELECT source_table AS name, stage FROM banyan.backfill',
  );
  return Object.fromEntries(rows.map(({ name, stage }) => [name.slice(7), stage]));
}

async function until(what: string, is: (now: Record<string, string>) => boolean): Promise<void> {
  await waitFor(async () => is(await stages()), { timeoutMs: 30_000, what });
}

const status = async (): Promise<string | undefined> =>
  (await pair.evidence.flows('catalog'))[0]?.status;

async function copyPaused(): Promise<void> {
  await waitFor(async () => (await status()) === 'copy paused', {
    timeoutMs: 30_000,
    what: 'the flow to say that its copy is paused',
  });
}

/**
 * Starts sync with a table of the monolith that nobody can read until it is let go. Its copy begins when
 * that is locked: no chunk counts that cannot see a transaction that was there before the flow.
 */
async function startWithout(name: string): Promise<() => Promise<void>> {
  await pair.coordinator().pauseFlows('catalog', '', 'copy');
  sync = startSync(pair, withTables(2));
  await copyPaused();
  const client = await connect(pair.monolithAppUrl, SESSION);
  await client.query(`BEGIN; LOCK TABLE ${name} IN ACCESS EXCLUSIVE MODE`);
  await pair.coordinator().resumeFlows('catalog', '', 'copy');
  return async () => {
    await client.query('ROLLBACK');
    await client.end();
  };
}

test('a table that is slow holds up those that depend on it, and nobody else', async () => {
  const letGo = await startWithout('shelf');
  try {
    await until('the independent tables to be copied', (now) =>
      ['reader', 'visit', 'tag'].every((name) => now[name] === 'done'),
    );
    expect(await stages()).toMatchObject({ shelf: 'prune', book: 'prune', loan: 'prune' });
    // The tables that are copied follow the stream meanwhile.
    await pair.monolith.query(`UPDATE reader SET name = 'meanwhile' WHERE id = 5`);
    await waitFor(
      async () =>
        (await pair.service.query(`SELECT 1 FROM reader WHERE name = 'meanwhile'`)).rows.length > 0,
      { timeoutMs: 30_000, what: 'a change of a copied table' },
    );
  } finally {
    await letGo();
  }
  await streaming(pair, 'to');
  await equal(pair, views);
});

test('a copy that is paused stands still while the stream goes on, says so, and goes on where it stopped', async () => {
  const letGo = await startWithout('book');
  await until('all but the books and what depends on them', (now) =>
    ['shelf', 'reader', 'visit', 'tag'].every((name) => now[name] === 'done'),
  );
  await pair.coordinator().pauseFlows('catalog', 'too much load', 'copy');
  await copyPaused();
  await letGo();
  const copied = async (): Promise<number> =>
    Number(
      (
        await pair.service.query<{ rows: string }>(
          `SELECT rows FROM banyan.backfill WHERE source_table = 'public.book'`,
        )
      ).rows[0]?.rows,
    );
  // The chunk that was being read goes in; what is behind it waits.
  await waitFor(async () => (await copied()) > 0, {
    timeoutMs: 30_000,
    what: 'the chunk under way',
  });
  for (let turn = 0; turn < 5; turn++) {
    await pair.monolith.query(`UPDATE shelf SET name = $1 WHERE id = 3`, [`turn ${turn}`]);
    await waitFor(
      async () =>
        (await pair.service.query(`SELECT 1 FROM shelf WHERE name = $1`, [`turn ${turn}`])).rows
          .length > 0,
      { timeoutMs: 30_000, what: 'the stream to go on' },
    );
  }
  expect(await copied()).toBe(7);
  expect(await status()).toBe('copy paused');
  await pair.coordinator().resumeFlows('catalog', '', 'copy');
  await streaming(pair, 'to');
  await equal(pair, views);
  expect((await pair.store.journal('catalog')).map(({ event }) => event)).toEqual([
    'begin',
    'advance',
    'pause copy',
    'resume copy',
    'pause copy',
    'resume copy',
  ]);
});

test('a copy reads no more rows a second than it may', async () => {
  const began = performance.now();
  sync = startSync(pair, withTables(3, 120));
  await streaming(pair, 'to');
  // 550 rows; what comes last needs no wait behind it.
  expect(performance.now() - began).toBeGreaterThan(4_000);
  await equal(pair, views);
});

test('a copy whose workers are cut off goes on by itself', async () => {
  const over = new AbortController();
  const cutting = (async () => {
    let cuts = 0;
    while (!over.signal.aborted && cuts < 3) {
      const { rows } = await pair.monolith.query<{ pid: number }>(
        `SELECT pid FROM pg_stat_activity WHERE application_name = 'banyan-read-catalog-to' AND datname = current_database() AND query LIKE '%FROM "public"%' ORDER BY random() LIMIT 1`,
      );
      if (rows[0]) {
        await pair.monolith.query('SELECT pg_terminate_backend($1)', [rows[0].pid]);
        cuts += 1;
      }
      await sleep(cuts === 0 ? 2 : 40);
    }
    return cuts;
  })();
  const writing = load(7, 150);
  sync = startSync(pair, { chunkRows: 3, ...withTables(3) });
  await writing;
  await streaming(pair, 'to');
  over.abort();
  expect(await cutting).toBeGreaterThan(0);
  await equal(pair, views);
});
