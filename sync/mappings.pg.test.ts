// Mappings of every kind on real databases: copied, followed while both sides are written in turn,
// carried back after a cutover, and found equal by verify.
import { afterEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import type { MigrationInput } from '../control/definition.ts';
import {
  concat,
  custom,
  lookup,
  pack,
  scale,
  split,
  unpack,
  type WideLens,
} from '../control/lenses.ts';
import { openFlow } from '../test/support/flow.ts';
import { appliersOf, CLEAN, letters, verified, viewsOf } from '../test/support/mapped.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import {
  advanceTo,
  equal,
  startSync,
  stopped,
  streaming,
  type RunningSync,
  type Views,
} from '../test/support/sync.ts';
import { rereadLetters } from './letter-box.ts';

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

async function synced(options: Parameters<typeof startSync>[1] = {}): Promise<void> {
  await advanceTo(pair, 'sync');
  sync = startSync(pair, { chunkRows: 3, ...options });
  await streaming(pair, 'to');
}

const PHONE: WideLens = custom({
  monolith: ['area', 'num'],
  service: ['phone'],
  get: ([area = null, num = null]) => [num === null ? null : `+${area ?? ''}/${num}`],
  put: ([phone = null]) => {
    if (phone === null) return [null, null];
    const [area = '', num = ''] = phone.slice(1).split('/');
    return [area === '' ? null : area, num];
  },
});

const PERSON: Tables = [
  {
    monolith: 'person',
    service: 'customer',
    key: { id: 'id' },
    columns: {
      ctry: lookup('country', { table: 'ctry', monolith: 'ctry_id', service: 'iso' }),
      pts: scale('points', 100),
    },
    lenses: [
      concat(['fst', 'lst'], 'name', ' '),
      split('addr', ['street', 'city'], ', '),
      pack({ w: 'width', h: 'height', ok: 'fits', meta: 'meta' }, 'size'),
      unpack('attrs', { colour: 'color', rank: 'rank' }, { nulls: 'omit' }),
      PHONE,
    ],
  },
];
const PERSON_MONOLITH = `
  CREATE TABLE ctry (ctry_id integer PRIMARY KEY, iso text UNIQUE);
  CREATE TABLE person (id bigint PRIMARY KEY, fst char(12), lst text, addr text, w integer, h numeric,
    ok boolean, meta jsonb, attrs jsonb, area text, num text, ctry integer REFERENCES ctry, pts numeric(9,2))`;
const PERSON_SERVICE = `
  CREATE TABLE customer (id bigint PRIMARY KEY, name text, street text, city text, size jsonb, color text,
    rank integer, phone text, country char(2), points bigint)`;
/** Written down a second time, in SQL. */
const PERSON_VIEWS = (): Views =>
  viewsOf(
    pair,
    `SELECT id, fst || ' ' || lst AS name, split_part(addr, ', ', 1) AS street,
            substr(addr, strpos(addr, ', ') + 2) AS city,
            CASE WHEN num_nonnulls(w, h, ok, meta) > 0 THEN jsonb_build_object('width', w, 'height', h, 'fits', ok, 'meta', meta) END AS size,
            attrs ->> 'colour' AS color, (attrs ->> 'rank')::int AS rank, '+' || area || '/' || num AS phone,
            (SELECT iso FROM ctry WHERE ctry_id = person.ctry) AS country, (pts * 100)::bigint AS points
       FROM person ORDER BY id`,
    'SELECT id, name, street, city, size, color, rank, phone, country, points FROM customer ORDER BY id',
  );

test('every lens goes there and back: concat, split, pack, unpack, lookup, custom', async () => {
  await start(PERSON_MONOLITH, PERSON_SERVICE, PERSON);
  const same = PERSON_VIEWS();
  await pair.monolith.query(`
    INSERT INTO ctry VALUES (1, 'DE'), (2, 'FR');
    INSERT INTO person SELECT i, 'Ann', 'v. ' || i, 'Road ' || i || ', Ulm, Donau', i, i + 0.50, i % 2 = 0, '{"b": [1, {"a": 2.10}]}',
      '{"rank": 7, "colour": "red, \\"dark\\""}', '49', i::text, 1 + i % 2, i + 0.25 FROM generate_series(1, 8) i;
    INSERT INTO person (id) VALUES (9);
    INSERT INTO person (id, w, attrs) VALUES (10, 3, '{"rank": 1}')`);
  await synced();
  await equal(pair, same);
  // A country that nobody knew when the flow began.
  await pair.monolith.query(`
    INSERT INTO ctry VALUES (3, 'IT');
    UPDATE person SET ctry = 3, lst = 'Rossi', h = NULL, attrs = attrs - 'colour' WHERE id < 4;
    UPDATE person SET fst = 'Z', addr = 'a, b', w = NULL, h = NULL, ok = NULL, meta = NULL, num = NULL, area = NULL WHERE id = 5;
    UPDATE person SET id = 20 WHERE id = 6;
    DELETE FROM person WHERE id = 7`);
  await equal(pair, same);
  expect(await verified(pair)).toEqual(CLEAN);
  await advanceTo(pair, 'cutover');
  await pair.service.query(`
    UPDATE customer SET name = 'Bo Li', country = 'FR', size = '{"fits": false, "meta": null, "width": 12345678, "height": 0.10}', points = 7 WHERE id = 1;
    UPDATE customer SET street = NULL, city = NULL, color = NULL, rank = NULL, phone = '+1/2', size = NULL WHERE id = 2;
    UPDATE customer SET rank = 12 WHERE id = 3;
    INSERT INTO customer (id, name, country, street, city, color) VALUES (30, 'Cy Young', 'IT', 'x', 'y', 'blue');
    DELETE FROM customer WHERE id = 4`);
  await equal(pair, same);
  expect(
    (
      await pair.monolith.query(
        'SELECT fst, lst, ctry, h::text, w, area, attrs FROM person WHERE id = 1',
      )
    ).rows,
  ).toEqual([
    {
      fst: 'Bo          ',
      lst: 'Li',
      ctry: 2,
      h: '0.10',
      w: 12345678,
      area: '49',
      attrs: { rank: 7 },
    },
  ]);
  expect(await verified(pair)).toEqual(CLEAN);
});

test('what a lens cannot take back is parked, seen by verify, and flows on once it is mended', async () => {
  await start(PERSON_MONOLITH, PERSON_SERVICE, PERSON);
  await pair.monolith.query(
    `INSERT INTO person (id, fst, lst) VALUES (1, 'A', 'B'), (2, 'A', 'B')`,
  );
  await synced();
  await pair.monolith.query(`
    UPDATE person SET fst = 'Jean Paul' WHERE id = 1;
    UPDATE person SET attrs = '{"colour": "red", "weight": 3}' WHERE id = 2;
    INSERT INTO person (id, fst, lst) VALUES (3, 'C', 'D')`);
  const parked = await letters(pair, 2);
  expect(parked.map(({ error }) => error).join('\n')).toMatch(
    /person\.fst, lst of row \(1\).*Jean Paul B[^]*person\.attrs of row \(2\).*"weight"/,
  );
  await waitFor(
    async () => (await pair.service.query('SELECT 1 FROM customer WHERE id = 3')).rows.length > 0,
    { timeoutMs: 30_000, what: 'the other rows to flow on' },
  );
  expect(await verified(pair)).toMatchObject({ different: 2 });
  await pair.monolith.query(`
    UPDATE person SET fst = 'Jean' WHERE id = 1;
    UPDATE person SET attrs = '{"colour": "red"}' WHERE id = 2`);
  await letters(pair, 4);
  // The row as it is now can be mapped; what was parked on the way there cannot, and is read again.
  await rereadLetters('catalog', appliersOf(pair));
  await equal(pair, PERSON_VIEWS());
  await letters(pair, 0);
  expect(await verified(pair)).toEqual(CLEAN);
});

test('a code that comes to mean something else stops the flow before it is mixed with the old one', async () => {
  await start(PERSON_MONOLITH, PERSON_SERVICE, PERSON);
  await pair.monolith.query(`
    INSERT INTO ctry VALUES (1, 'DE'), (2, 'FR');
    INSERT INTO person (id, ctry) VALUES (1, 1)`);
  await synced();
  await pair.monolith.query(`
    UPDATE ctry SET iso = 'GB' WHERE ctry_id = 1;
    INSERT INTO ctry VALUES (9, 'XX');
    INSERT INTO person (id, ctry) VALUES (2, 9)`);
  expect(await stopped(pair, 'to')).toMatchObject({
    code: 'FLOW_STOPPED',
    error: expect.stringMatching(/ctry_id 1 stood for iso DE and stands for GB now/) as unknown,
  });
  await pair.monolith.query(`UPDATE ctry SET iso = 'DE' WHERE ctry_id = 1`);
  await equal(pair, PERSON_VIEWS());
});

test('a code that comes to mean something else stops the flow though no other is asked for', async () => {
  await start(PERSON_MONOLITH, PERSON_SERVICE, PERSON);
  await pair.monolith.query(`
    INSERT INTO ctry VALUES (1, 'DE'), (2, 'FR');
    INSERT INTO person (id, ctry) VALUES (1, 1)`);
  await synced();
  await pair.monolith.query(`UPDATE ctry SET iso = 'GB' WHERE ctry_id = 1`);
  expect(await stopped(pair, 'to')).toMatchObject({
    code: 'FLOW_STOPPED',
    error: expect.stringMatching(/ctry_id 1 stood for iso DE and stands for GB now/) as unknown,
  });
});

test('a flow that a changed code has stopped stops again each time that it is started, until that is undone', async () => {
  await start(PERSON_MONOLITH, PERSON_SERVICE, PERSON);
  await pair.monolith.query(`
    INSERT INTO ctry VALUES (1, 'DE'), (2, 'FR');
    INSERT INTO person (id, ctry) VALUES (1, 1)`);
  const failed: unknown[] = [];
  const quiet = (): void => undefined;
  await synced({
    log: {
      ...{ debug: quiet, info: quiet, warn: quiet },
      error: (_message: string, fields: unknown) => failed.push(fields),
    } as never,
  });
  await pair.monolith.query(`UPDATE ctry SET iso = 'GB' WHERE ctry_id = 1`);
  await waitFor(() => failed.length >= 3, { timeoutMs: 60_000, what: 'the flow to stop thrice' });
  const why = {
    ...{ capability: 'catalog', direction: 'to', code: 'FLOW_STOPPED' },
    error: expect.stringMatching(/ctry_id 1 stood for iso DE and stands for GB now/) as unknown,
  };
  expect(failed).toEqual(failed.map(() => why));
  // A row that has it is not written, either.
  await pair.monolith.query('INSERT INTO person (id, ctry) VALUES (2, 1)');
  const before = failed.length;
  await waitFor(() => failed.length > before, { timeoutMs: 60_000, what: 'one more try' });
  expect((await pair.service.query('SELECT id, country FROM customer')).rows).toEqual([
    { id: '1', country: 'DE' },
  ]);
  await pair.monolith.query(`UPDATE ctry SET iso = 'DE' WHERE ctry_id = 1`);
  await streaming(pair, 'to');
  await equal(pair, PERSON_VIEWS());
  expect(await verified(pair)).toEqual(CLEAN);
});

test('a flow that a changed code has stopped goes on with it once it was paused, and what was copied is wrong', async () => {
  await start(PERSON_MONOLITH, PERSON_SERVICE, PERSON);
  await pair.monolith.query(`
    INSERT INTO ctry VALUES (1, 'DE'), (2, 'FR');
    INSERT INTO person (id, ctry) VALUES (1, 1), (2, 2)`);
  await synced();
  await pair.monolith.query(`UPDATE ctry SET iso = 'GB' WHERE ctry_id = 1`);
  const { error } = await stopped(pair, 'to');
  expect(error).toMatch(/stands for GB now.*`banyan sync pause`, `banyan sync resume`/);
  await pair.coordinator().pauseFlows('catalog');
  await waitFor(async () => (await pair.evidence.flows('catalog'))[0]?.status === 'paused', {
    timeoutMs: 30_000,
    what: 'the flow to be paused',
  });
  await pair.coordinator().resumeFlows('catalog');
  await streaming(pair, 'to');
  expect(await verified(pair)).toEqual({ ...CLEAN, different: 1 });
  await pair.monolith.query(`UPDATE person SET pts = 1 WHERE id = 1`);
  await pair.monolith.query('INSERT INTO person (id, ctry) VALUES (3, 1)');
  await equal(pair, PERSON_VIEWS());
});

test('a code that was added before its row was copied is looked up anew, and nothing is parked', async () => {
  await start(PERSON_MONOLITH, PERSON_SERVICE, PERSON);
  await advanceTo(pair, 'sync');
  const flow = await openFlow(pair);
  const over = new AbortController();
  try {
    // Before the first mark: the stream does not tell of it.
    await pair.monolith.query(`
      INSERT INTO ctry VALUES (1, 'DE');
      INSERT INTO person (id, ctry) VALUES (1, 1)`);
    const running = flow.run(over.signal);
    await equal(pair, PERSON_VIEWS()).finally(() => {
      over.abort();
    });
    await running;
  } finally {
    await flow.close();
  }
  await letters(pair, 0);
});

test('the table of references may be the service’s', async () => {
  await start(
    'CREATE TABLE m (id bigint PRIMARY KEY, ctry text)',
    `CREATE TABLE country (no integer PRIMARY KEY, iso text NOT NULL UNIQUE);
     CREATE TABLE t (id bigint PRIMARY KEY, country integer REFERENCES country);
     INSERT INTO country VALUES (1, 'DE'), (2, 'FR')`,
    [
      {
        monolith: 'm',
        service: 't',
        key: { id: 'id' },
        columns: {
          ctry: lookup('country', {
            ...{ side: 'service', table: 'country', monolith: 'iso', service: 'no' },
          }),
        },
      },
    ],
  );
  const same = viewsOf(
    pair,
    'SELECT id, ctry FROM m ORDER BY id',
    'SELECT id, iso AS ctry FROM t LEFT JOIN country ON no = country ORDER BY id',
  );
  await pair.monolith.query(`INSERT INTO m VALUES (1, 'DE'), (2, NULL)`);
  await synced();
  await pair.service.query(`INSERT INTO country VALUES (3, 'IT')`);
  await pair.monolith.query(
    `INSERT INTO m VALUES (3, 'IT'); UPDATE m SET ctry = 'FR' WHERE id = 1`,
  );
  await equal(pair, same);
  await advanceTo(pair, 'cutover');
  await pair.service.query(
    `INSERT INTO country VALUES (4, 'ES'); UPDATE t SET country = 4 WHERE id = 2`,
  );
  await equal(pair, same);
  expect(await verified(pair)).toEqual(CLEAN);
});

test('a lens without a way back goes as far as shadow, and no further', async () => {
  await start(
    'CREATE TABLE m (id bigint PRIMARY KEY, a text)',
    'CREATE TABLE t (id bigint PRIMARY KEY, b text)',
    [
      {
        monolith: 'm',
        service: 't',
        key: { id: 'id' },
        lenses: [
          custom({
            monolith: ['a'],
            service: ['b'],
            get: ([a = null]) => [a?.toLowerCase() ?? null],
          }),
        ],
      },
    ],
  );
  await pair.monolith.query(`INSERT INTO m VALUES (1, 'ABC')`);
  await synced();
  await equal(pair, viewsOf(pair, 'SELECT id, lower(a) AS b FROM m', 'SELECT id, b FROM t'));
  await advanceTo(pair, 'shadow');
  await expect(advanceTo(pair, 'canary')).rejects.toMatchObject({
    code: 'MOVE_NOT_ALLOWED',
    message: expect.stringMatching(/has no put/) as unknown,
  });
});
