// Rows whose keys the monolith changes go on at the service under their new keys, with all that the
// service alone knows of them; while both sides write, too.
import { afterEach, expect, test } from '@jest/globals';
import { createPair, type Pair } from '../test/support/pair.ts';
import { randomOf, seeds } from '../test/support/random.ts';
import { conflicts, openCanary, settled, type Canary } from '../test/support/sharing.ts';
import { advanceTo, equal, startGated, streaming, type GatedSync } from '../test/support/sync.ts';

let pair: Pair;
let sync: GatedSync;
let canary: Canary | undefined;

afterEach(async () => {
  if (canary) {
    await canary.close();
    canary = undefined;
    return;
  }
  await sync.stop();
  await pair.close();
});

/** A column that the mapping does not name, and that the service keeps for itself. */
const OWN = 'ALTER TABLE product ADD hits integer NOT NULL DEFAULT 0';
const COUNTED = 'UPDATE product SET hits = id * 10';

async function begin(): Promise<void> {
  pair = await createPair();
  await pair.service.query(OWN);
  await pair.monolith.query(
    `INSERT INTO prd (no, nm, prc, dsc) SELECT 'N' || i, 'n', 1, 't' FROM generate_series(1, 6) i`,
  );
  await advanceTo(pair, 'sync');
  sync = startGated(pair);
  await streaming(pair, 'to');
  await pair.service.query(COUNTED);
}

/** One moves, one moves twice, one moves to where another was deleted, two change places. */
const MOVES = `
  UPDATE prd SET prd_id = 71 WHERE prd_id = 1;
  BEGIN; UPDATE prd SET prd_id = 50 WHERE prd_id = 2; UPDATE prd SET prd_id = 72 WHERE prd_id = 50; COMMIT;
  BEGIN; DELETE FROM prd WHERE prd_id = 3; UPDATE prd SET prd_id = 3 WHERE prd_id = 4; COMMIT;
  BEGIN; UPDATE prd SET prd_id = 51 WHERE prd_id = 5; UPDATE prd SET prd_id = 5 WHERE prd_id = 6;
         UPDATE prd SET prd_id = 6 WHERE prd_id = 51; COMMIT;`;
const MOVED = [
  { id: 3, sku: 'N4', hits: 40 },
  { id: 5, sku: 'N6', hits: 60 },
  { id: 6, sku: 'N5', hits: 50 },
  { id: 71, sku: 'N1', hits: 10 },
  { id: 72, sku: 'N2', hits: 20 },
];

async function products(of: Pair): Promise<unknown[]> {
  const { rows } = await of.service.query<object>(
    'SELECT id::int, sku, hits FROM product WHERE id < 7 OR id > 70 ORDER BY id',
  );
  return rows;
}

test('a row whose key the monolith changes keeps what the service alone knows of it', async () => {
  await begin();
  sync.gate.shut();
  await pair.monolith.query(MOVES);
  sync.gate.open();
  await equal(pair);
  expect(await products(pair)).toEqual(MOVED);
});

/** Random moves among few keys, deletes, new rows and other changes, in transactions of several; and which rows are left, by number. */
function history(random: () => number, length: number): { text: string; left: Set<string> } {
  const rows = new Map(Array.from({ length: 6 }, (_, index) => [index + 1, `N${index + 1}`]));
  const pick = <T>(from: readonly T[]): T | undefined => from[Math.floor(random() * from.length)];
  const one = (step: number): string => {
    const [key = 0, to = 0] = [
      pick([...rows.keys()]),
      pick(Array.from({ length: 12 }, (_, index) => index + 1).filter((id) => !rows.has(id))),
    ];
    const no = rows.get(key) ?? `A${step}`;
    const kind =
      rows.size < 3
        ? 'insert'
        : pick(['move', 'move', 'move', 'delete', rows.size < 9 ? 'insert' : 'delete', 'set']);
    if (kind === 'set') return `UPDATE prd SET prc = ${step} WHERE prd_id = ${key};`;
    if (kind !== 'insert') rows.delete(key);
    if (kind === 'delete') return `DELETE FROM prd WHERE prd_id = ${key};`;
    rows.set(to, kind === 'move' ? no : `A${step}`);
    if (kind === 'move') return `UPDATE prd SET prd_id = ${to} WHERE prd_id = ${key};`;
    return `INSERT INTO prd (prd_id, no, nm, prc, dsc) VALUES (${to}, 'A${step}', 'anew', 1, 't');`;
  };
  const steps = Array.from({ length }, (_, step) => one(step));
  const text = steps.map((step) => (random() < 0.4 ? `${step} COMMIT; BEGIN;` : step)).join(' ');
  return { text: `BEGIN; ${text} COMMIT`, left: new Set(rows.values()) };
}

test.each(seeds(3))(
  'whatever becomes of its key, what the service alone knows of a row stays with it (seed %i)',
  async (seed) => {
    await begin();
    const random = randomOf(seed);
    sync.gate.shut();
    const { text, left } = history(random, 80);
    await pair.monolith.query(text);
    sync.gate.open();
    await equal(pair);
    const { rows } = await pair.service.query<{ sku: string; hits: number }>(
      'SELECT sku, hits FROM product',
    );
    const kept = (sku: string): number => (sku.startsWith('N') ? Number(sku.slice(1)) * 10 : 0);
    expect(new Map(rows.map(({ sku, hits }) => [sku, hits]))).toEqual(
      new Map([...left].map((sku) => [sku, kept(sku)])),
    );
  },
);

test('a key that the monolith uses again is another row', async () => {
  await begin();
  sync.gate.shut();
  await pair.monolith.query(`
    BEGIN; DELETE FROM prd WHERE prd_id = 1; INSERT INTO prd (prd_id, no, nm, prc) VALUES (1, 'A1', 'anew', 1); COMMIT;
    BEGIN; UPDATE prd SET prd_id = 72 WHERE prd_id = 2; INSERT INTO prd (prd_id, no, nm, prc) VALUES (2, 'A2', 'anew', 1); COMMIT`);
  sync.gate.open();
  await equal(pair);
  const { rows } = await pair.service.query(
    'SELECT id::int, hits FROM product WHERE id IN (1, 2, 72) ORDER BY id',
  );
  expect(rows).toEqual([
    { id: 1, hits: 0 },
    { id: 2, hits: 0 },
    { id: 72, hits: 20 },
  ]);
});

test('under a write canary, too, a row whose key the owner changes keeps what the service alone knows of it', async () => {
  canary = await openCanary();
  await canary.pair.service.query(`${OWN}; ${COUNTED}`);
  await settled(canary.pair);
  await canary.shop.query(MOVES);
  await settled(canary.pair);
  await equal(canary.pair);
  expect(await products(canary.pair)).toEqual(MOVED);
  expect(await conflicts(canary.pair)).toEqual([]);
});

test('a row that is in flight under its old key is judged there, and comes anew under the new one', async () => {
  canary = await openCanary();
  await canary.atOnce('catalog', {
    catalog: `UPDATE product SET name = 'service' WHERE id = 1; UPDATE category SET title = 'service' WHERE id = 1`,
    shop: `UPDATE prd SET prd_id = 71 WHERE prd_id = 1; UPDATE cat SET cat_id = 71 WHERE cat_id = 1`,
  });
  expect(await canary.names([1, 71])).toEqual(['n']);
  expect(await conflicts(canary.pair)).toMatchObject([
    { key: { cat_id: '1' }, reason: 'missing', verdict: 'owner' },
    { key: { prd_id: '1' }, reason: 'missing', verdict: 'owner' },
  ]);
});

test('another row that the service has put in under the old key stays there', async () => {
  canary = await openCanary();
  await canary.pair.service.query(OWN);
  await canary.atOnce('catalog', {
    catalog: `BEGIN; DELETE FROM product WHERE id = 2;
      INSERT INTO product (id, sku, name, price_cents, state, hits) VALUES (2, 'S2', 'service', 1, 'active', 77); COMMIT`,
    shop: 'UPDATE prd SET prd_id = 72 WHERE prd_id = 2',
  });
  const { rows } = await canary.pair.service.query(
    'SELECT id::int, sku, hits FROM product WHERE id IN (2, 72) ORDER BY id',
  );
  expect(rows).toEqual([
    { id: 2, sku: 'S2', hits: 77 },
    { id: 72, sku: 'N2', hits: 0 },
  ]);
  expect(await conflicts(canary.pair)).toEqual([]);
});
