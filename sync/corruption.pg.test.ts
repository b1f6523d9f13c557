// Verify finds every single cell that is wrong, whatever its type and lens: a thousand of them, and
// rows that are missing or too many. `SEED=n` runs one choice of them again.
import { expect, test } from '@jest/globals';
import { connect } from '../core/postgres/connect.ts';
import { scale, values } from '../control/lenses.ts';
import { COLUMNS, KEYS, table, TYPES } from '../test/support/every-type.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { randomOf, seeds } from '../test/support/random.ts';
import { advanceTo, startSync, streaming } from '../test/support/sync.ts';
import { verify, type VerifySample } from './verify.ts';

const CELLS = 1_000;
const ROWS = 60;

/** A table of the service: its key as text, and what its columns may wrongly hold. */
interface Place {
  readonly table: string;
  readonly key: readonly string[];
  readonly columns: readonly (readonly [string, readonly string[]])[];
}

const every: Place['columns'] = COLUMNS.map((column) => [
  column[0],
  [`NULL`, column[3], column[4]],
]);
const PLACES: readonly Place[] = [
  // Compared row by row, because some of its types differ; and by sums, because none does.
  { table: 'every', key: ['id'], columns: every },
  { table: 'alike', key: ['id'], columns: every },
  {
    table: 'lensed',
    key: ['id'],
    columns: [
      ['cents', ['0', '-1', '100']],
      ['state', [`'active'`, `'gone'`, `'A'`, 'NULL']],
      ['whole', ['NULL', '1', '-5']],
      ['label', [`''`, `'x '`, `' x'`, 'NULL']],
    ],
  },
  { table: 'lensed_text', key: ['lensed_id'], columns: [['body', [`''`, `'\\'`, 'NULL']]] },
  { table: 'keyed', key: ['b', 'a', 'c'], columns: [['v', [`'w'`, `''`, 'NULL']]] },
  {
    table: 'stamped',
    key: ['at'],
    columns: [
      ['uid', [`gen_random_uuid()`]],
      ['v', [`'V'`, 'NULL']],
    ],
  },
];

async function build(): Promise<Pair> {
  const alike = table(1, 'alike');
  const pair = await createPair({
    schemas: {
      monolith: `${TYPES} ${table(1, 'every')}; ${alike}; ${KEYS}
        CREATE TABLE lensed (id integer PRIMARY KEY, prc numeric(12,2) NOT NULL, sts char(1), n numeric, lbl char(8), txt text);`,
      service: `${TYPES} ${table(2, 'every')}; ${alike}; ${KEYS}
        CREATE TABLE lensed (id bigint PRIMARY KEY, cents bigint NOT NULL, state text, whole integer, label text);
        CREATE TABLE lensed_text (lensed_id bigint PRIMARY KEY, body text);`,
    },
    capability: {
      tables: [
        ...['every', 'alike'].map((name) => ({
          monolith: name,
          service: name,
          key: { id: 'id' },
          columns: Object.fromEntries(COLUMNS.map(([column]) => [column, column])),
        })),
        {
          monolith: 'lensed',
          service: ['lensed', 'lensed_text'],
          key: { id: { lensed: 'id', lensed_text: 'lensed_id' } },
          columns: {
            prc: scale('cents', 100),
            sts: values('state', { A: 'active', D: 'gone' }),
            n: 'whole',
            lbl: 'label',
            txt: 'lensed_text.body',
          },
        },
        {
          monolith: 'keyed',
          service: 'keyed',
          key: { b: 'b', a: 'a', c: 'c' },
          columns: { v: 'v' },
        },
        {
          monolith: 'stamped',
          service: 'stamped',
          key: { at: 'at' },
          columns: { uid: 'uid', v: 'v' },
        },
      ],
    },
  });
  const names = COLUMNS.map(([name]) => name).join(', ');
  for (const name of ['every', 'alike'])
    for (const value of [3, 4] as const)
      await pair.monolith.query(
        `INSERT INTO ${name} (${names}) SELECT ${COLUMNS.map((column) => `${column[value]}::${column[1]}`).join(', ')} FROM generate_series(1, ${ROWS / 2})`,
      );
  await pair.monolith.query(`
    INSERT INTO lensed SELECT i, i * 1.25, (ARRAY['A', 'D', NULL])[1 + i % 3], nullif(i % 7, 0), (ARRAY['x', 'é', '', NULL])[1 + i % 4], repeat('t', i % 5) FROM generate_series(1, ${ROWS}) i;
    INSERT INTO keyed SELECT substr('a b', 1, 1 + i % 3), (ARRAY['a', 'A', 'ä', 'Z', 'z', 'é', '"', '\\', '', 'aé'])[1 + i % 10], i / 4.0, 'v' FROM generate_series(1, ${ROWS}) i;
    INSERT INTO stamped SELECT '2020-01-01'::timestamptz + i * interval '0.000001 s', gen_random_uuid(), 'v' FROM generate_series(1, ${ROWS}) i`);
  return pair;
}

test.each(seeds(1))(
  'every one of a thousand wrong cells is found, and every missing or extra row (seed %i)',
  async (seed) => {
    const random = randomOf(seed);
    const one = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)] as T;
    const pair = await build();
    let sync;
    try {
      await advanceTo(pair, 'sync');
      sync = startSync(pair, { chunkRows: 25 });
      await streaming(pair, 'to');
      // The applier's login: the fence would refuse any other, and no flow leads back yet.
      const spoiler = await connect(
        pair.connections.services['catalog']?.database?.applier ?? '',
        SESSION,
      );
      const keysOf = async (place: Place): Promise<string[][]> => {
        const { rows } = await spoiler.query<string[]>({
          text: `SELECT ${place.key.map((name) => `${name}::text`).join(', ')} FROM ${place.table} ORDER BY ${place.key.join(', ')}`,
          rowMode: 'array',
        });
        return rows;
      };
      const found = new Map<Place, string[][]>();
      for (const place of PLACES) found.set(place, await keysOf(place));
      const where = (place: Place): string =>
        place.key.map((name, index) => `${name}::text = $${index + 1}`).join(' AND ');
      const injected = {
        different: new Set<string>(),
        missing: [] as string[],
        extra: [] as string[],
      };
      // The first rows are for the deletes.
      const DELETED = 4;
      while (injected.different.size < CELLS) {
        const place = one(PLACES);
        const key = one((found.get(place) ?? []).slice(DELETED));
        const [column, wrong] = one(place.columns);
        const cell = `public.${place.table} ${JSON.stringify(key)} ${column}`;
        if (injected.different.has(cell)) continue;
        const value = one(wrong);
        const { rows } = await spoiler.query<{ changed: boolean }>(
          `UPDATE ${place.table} SET ${column} = ${value} WHERE ${where(place)}
           RETURNING old.${column}::text IS DISTINCT FROM new.${column}::text AS changed`,
          key,
        );
        if (rows[0]?.changed) injected.different.add(cell);
      }
      for (const place of PLACES)
        for (const key of (found.get(place) ?? []).slice(0, DELETED)) {
          await spoiler.query(`DELETE FROM ${place.table} WHERE ${where(place)}`, key);
          injected.missing.push(`public.${place.table} ${JSON.stringify(key)}`);
        }
      for (const [statement, row] of EXTRA) {
        await spoiler.query(statement);
        injected.extra.push(row);
      }
      await spoiler.end();

      const capability = pair.migration.capabilities['catalog'];
      const [monolith, service] = [
        pair.connections.monolith.database,
        pair.connections.services['catalog']?.database,
      ];
      if (!capability || !monolith || !service) throw new Error('no capability');
      const outcome = await verify({
        ...{ id: 'catalog', capability, monolith, service, chunkRows: 7 },
        samples: Number.POSITIVE_INFINITY,
      });
      // character(n) comes padded in a key, and its text does not.
      const samples = (outcome.samples as VerifySample[]).map((sample) => ({
        ...sample,
        key: sample.key.map((part) => part.trimEnd()),
      }));
      const of = (kind: VerifySample['kind']): string[] =>
        samples
          .filter((sample) => sample.kind === kind)
          .map((sample) => `${sample.table} ${JSON.stringify(sample.key)}`)
          .sort();
      const cells = samples.flatMap((sample) =>
        sample.columns.map(
          ({ column }) => `${sample.table} ${JSON.stringify(sample.key)} ${column}`,
        ),
      );
      expect(cells.sort()).toEqual([...injected.different].sort());
      expect(of('missing')).toEqual(injected.missing.sort());
      expect(of('extra')).toEqual(injected.extra.sort());
    } finally {
      await sync?.stop();
      await pair.close();
    }
  },
);

const EXTRA: readonly (readonly [string, string])[] = [
  [`INSERT INTO every (id) OVERRIDING SYSTEM VALUE VALUES (-1)`, 'public.every ["-1"]'],
  [`INSERT INTO alike (id) OVERRIDING SYSTEM VALUE VALUES (30000)`, 'public.alike ["30000"]'],
  [`INSERT INTO lensed VALUES (0, 1)`, 'public.lensed ["0"]'],
  [`INSERT INTO lensed_text VALUES (61)`, 'public.lensed_text ["61"]'],
  [`INSERT INTO keyed VALUES ('a', 'ö', 1)`, 'public.keyed ["ö","a","1.00"]'],
  [`INSERT INTO keyed VALUES ('zz', 'zz', 999)`, 'public.keyed ["zz","zz","999.00"]'],
  [`INSERT INTO stamped VALUES ('infinity', gen_random_uuid())`, 'public.stamped ["infinity"]'],
];
