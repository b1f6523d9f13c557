// Foreign keys that no order of tables can satisfy, constraints that are checked at the end of a
// transaction, and a merged row that needs all of its parts.
import { afterEach, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { createPair, type Pair, type PairOptions } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';

let pair: Pair | undefined;
let sync: RunningSync | undefined;

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair?.close();
});

const TABLES: NonNullable<PairOptions['capability']>['tables'] = [
  { monolith: 'dept', service: 'dept', key: { id: 'id' }, columns: { nm: 'nm', boss: 'boss' } },
  { monolith: 'emp', service: 'emp', key: { id: 'id' }, columns: { nm: 'nm', dept: 'dept' } },
];
const schema = (deferred: string): string => `
  CREATE TABLE dept (id integer PRIMARY KEY, nm text, boss integer);
  CREATE TABLE emp (id integer PRIMARY KEY, nm text, dept integer NOT NULL REFERENCES dept ${deferred});
  ALTER TABLE dept ADD CONSTRAINT boss FOREIGN KEY (boss) REFERENCES emp ${deferred}`;

async function circle(deferred: string): Promise<Pair> {
  pair = await createPair({
    schemas: {
      monolith: schema('DEFERRABLE INITIALLY DEFERRED'),
      service: schema(deferred),
    },
    capability: { tables: TABLES },
  });
  // Every department is led by one of its own, and each by somebody of the next one's chunk.
  await pair.monolith.query(`
    BEGIN;
    INSERT INTO dept SELECT i, 'd' || i, 1 + (i + 10) % 30 FROM generate_series(1, 30) i;
    INSERT INTO emp SELECT i, 'e' || i, 1 + (i + 20) % 30 FROM generate_series(1, 30) i;
    COMMIT`);
  return pair;
}

async function views(): Promise<{ monolith: unknown[]; service: unknown[] }> {
  const read = async (side: 'monolith' | 'service'): Promise<unknown[]> => {
    const dept = await pair?.[side].query<object>('SELECT * FROM dept ORDER BY id');
    const emp = await pair?.[side].query<object>('SELECT * FROM emp ORDER BY id');
    return [...(dept?.rows ?? []), ...(emp?.rows ?? [])];
  };
  return { monolith: await read('monolith'), service: await read('service') };
}

test.each(['', 'DEFERRABLE INITIALLY DEFERRED'])(
  'rows that point to each other in a circle are copied (foreign keys %s)',
  async (deferred) => {
    const own = await circle(deferred);
    await advanceTo(own, 'sync');
    sync = startSync(own);
    await streaming(own, 'to');
    await equal(own, views);
    await own.monolith.query(`UPDATE dept SET boss = id; UPDATE emp SET dept = id, nm = 'moved'`);
    await equal(own, views);
  },
);

test('rows that point to each other in a circle go: stray ones of the target, and all by a truncate', async () => {
  const own = await circle('');
  await own.service.query(`
    BEGIN;
    INSERT INTO dept VALUES (71, 'stray', NULL);
    INSERT INTO emp VALUES (72, 'stray', 71);
    UPDATE dept SET boss = 72;
    COMMIT`);
  await own
    .coordinator()
    .move({ capability: 'catalog', event: 'advance', to: 'sync', replaceTarget: true });
  sync = startSync(own);
  await streaming(own, 'to');
  await equal(own, views);
  await own.monolith.query('TRUNCATE dept, emp');
  await equal(own, views);
});

test('a merged row whose parts are all needed follows changes of one of them', async () => {
  const own = await createPair({
    schemas: {
      monolith: 'CREATE TABLE item (id bigint PRIMARY KEY, nm text NOT NULL, dsc text NOT NULL)',
      service: `CREATE TABLE thing (id bigint PRIMARY KEY, name text NOT NULL);
        CREATE TABLE words (thing_id bigint PRIMARY KEY REFERENCES thing, body text NOT NULL)`,
    },
    capability: {
      tables: [
        {
          monolith: 'item',
          service: ['thing', 'words'],
          key: { id: { thing: 'id', words: 'thing_id' } },
          columns: { nm: 'name', dsc: 'words.body' },
        },
      ],
    },
  });
  pair = own;
  const merged = async (): Promise<{ monolith: unknown[]; service: unknown[] }> => ({
    monolith: (await own.monolith.query('SELECT id, nm, dsc FROM item ORDER BY 1')).rows,
    service: (
      await own.service.query(
        'SELECT id, name AS nm, body AS dsc FROM thing JOIN words ON thing_id = id ORDER BY 1',
      )
    ).rows,
  });
  await own.monolith.query(`INSERT INTO item SELECT i, 'n', 'd' FROM generate_series(1, 5) i`);
  await advanceTo(own, 'sync');
  sync = startSync(own);
  await advanceTo(own, 'cutover');
  await own.service.query(`UPDATE thing SET name = 'alone' WHERE id < 3`);
  await equal(own, merged);
  await own.service.query(`UPDATE words SET body = 'alone' WHERE thing_id > 3`);
  await own.service.query(`INSERT INTO thing VALUES (9, 'first')`);
  // Half a row waits until the other half is there.
  await waitFor(
    async () => (await own.monolith.query('SELECT 1 FROM banyan.reread')).rows.length > 0,
    { timeoutMs: 30_000, what: 'the half row to wait' },
  );
  await own.service.query(`INSERT INTO words VALUES (9, 'later')`);
  await equal(own, merged);
});
