// What the service wrote is given up, and that is cut short: whoever goes on with it, one side owns at each moment,
// and what is told of it afterwards has been seen.
import { afterEach, expect, test } from '@jest/globals';
import { withClient } from '../core/postgres/connect.ts';
import { failing } from '../test/support/failing.ts';
import { createPair, SESSION, type Pair, type PairOptions } from '../test/support/pair.ts';
import {
  advanceTo,
  equal,
  leftovers,
  startSync,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';
import { bothStream, createItems } from '../test/support/write-canary.ts';

/** Statements from one death to the next; EVERY_STATEMENT=1 dies after each. */
const STRIDE = process.env['EVERY_STATEMENT'] === undefined ? 4 : 1;

let pair: Pair | undefined;
let sync: RunningSync | undefined;

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair?.close();
  pair = undefined;
});

async function inCutover(options: PairOptions = {}): Promise<Pair> {
  const own = (pair = await createPair(options));
  sync = startSync(own);
  await advanceTo(own, 'cutover');
  await streaming(own, 'back');
  return own;
}

/** An edge that nobody has heard of since before anything moved. */
async function cutOff(own: Pair): Promise<void> {
  const heartbeat_at = own.db.raw(`clock_timestamp() - interval '10 seconds'`);
  await own.db('banyan.replica').insert({ id: 'cut-off', heartbeat_at });
}

/** What an application's statement gives, taken back again; undefined where it is refused. */
async function tried(url: string, text: string): Promise<unknown> {
  return withClient(url, SESSION, async (client) => {
    await client.query('BEGIN');
    const result = await client.query<{ value: unknown }>(text).catch(() => undefined);
    await client.query('ROLLBACK');
    return result?.rows[0]?.value;
  });
}

test('by whoever it is gone on with, one side writes at each moment, and no number is given twice', async () => {
  const own = await inCutover();
  await withClient(own.serviceAppUrl, SESSION, (client) =>
    client.query(
      `INSERT INTO product (id, sku, name, price_cents, state) VALUES (4000, 'S', 's', 1, 'active')`,
    ),
  );
  await equal(own);
  await sync?.stop();
  sync = undefined;
  await cutOff(own);
  const coordinator = own.coordinator();
  const number = (): Promise<unknown> =>
    tried(
      own.monolithAppUrl,
      `INSERT INTO prd (no, nm, prc) VALUES ('new', 'new', 1) RETURNING prd_id::int AS value`,
    );
  const late = (): Promise<unknown> =>
    tried(own.serviceAppUrl, `UPDATE product SET name = 'late' RETURNING id AS value`);
  const seen = { service: 0, nobody: 0, monolith: 0 };
  for (let budget = 0, turn = 0; ; budget += STRIDE, turn += 1) {
    const { phase } = await own.store.readOne('catalog');
    const dead = failing(budget);
    const failed = await (
      phase !== 'monolith'
        ? coordinator.abort({ capability: 'catalog', losing: true })
        : turn % 2 === 0
          ? coordinator.abort({ capability: 'catalog' })
          : coordinator.tidy('catalog')
    )
      .then(() => false)
      .catch(() => true)
      .finally(dead.restore);
    const [given, isLate] = [await number(), (await late()) !== undefined];
    if (given !== undefined) {
      expect(given).toBeGreaterThan(4_000);
      expect(isLate).toBe(false);
    }
    seen[given === undefined ? (isLate ? 'service' : 'nobody') : 'monolith'] += 1;
    if (!failed) break;
    expect(budget).toBeLessThan(600);
  }
  // It has died at each of them.
  expect(seen).toEqual({
    service: expect.any(Number),
    nobody: expect.any(Number),
    monolith: expect.any(Number),
  });
  expect(Math.min(seen.service, seen.nobody, seen.monolith)).toBeGreaterThan(0);
  // The same command again tells how it stands, and once the edge is heard of nothing is left.
  expect(await coordinator.abort({ capability: 'catalog' })).toMatchObject({
    astray: ['cut-off'],
  });
  await own.db('banyan.replica').delete();
  expect(await coordinator.abort({ capability: 'catalog' })).toMatchObject({ astray: [] });
  expect(await leftovers(own)).toEqual([]);
});

test('the monolith stays closed until the service is, and the next to tidy up opens it', async () => {
  const own = await inCutover();
  await sync?.stop();
  sync = undefined;
  await cutOff(own);
  const coordinator = own.coordinator();
  await withClient(own.serviceAppUrl, SESSION, async (client) => {
    await client.query(
      `BEGIN; INSERT INTO product (id, sku, name, price_cents, state) VALUES (5000, 'L', 'l', 1, 'active')`,
    );
    await expect(coordinator.abort({ capability: 'catalog', losing: true })).rejects.toMatchObject({
      code: 'TIMED_OUT',
      hint: expect.stringMatching(/In the way: .*pid \d+.*the monolith opens behind that/),
    });
    expect(await own.store.readOne('catalog')).toMatchObject({ phase: 'monolith' });
    const write = `INSERT INTO prd (no, nm, prc) VALUES ('new', 'new', 1) RETURNING prd_id AS value`;
    expect(await tried(own.monolithAppUrl, write)).toBeUndefined();
    await client.query('COMMIT');
    expect(await coordinator.tidy('catalog')).toBe(true);
    expect(await tried(own.monolithAppUrl, write)).toBeDefined();
    await expect(client.query(`UPDATE product SET name = 'late'`)).rejects.toMatchObject({
      code: 'BN001',
    });
  });
}, 120_000);

test('a write canary that is given up is closed to edges that are cut off', async () => {
  const own = (pair = await createItems());
  sync = startSync(own);
  await advanceTo(own, 'canary');
  await bothStream(own);
  const coordinator = own.coordinator();
  await coordinator.move({ capability: 'catalog', event: 'weight', weight: 20 });
  await sync.stop();
  sync = undefined;
  await cutOff(own);
  expect(await coordinator.abort({ capability: 'catalog', losing: true })).toMatchObject({
    ...{ from: 'canary', to: 'monolith', astray: ['cut-off'] },
    lost: [expect.stringContaining('what the service has written')],
  });
  await expect(
    own.service.query(`INSERT INTO article (label) VALUES ('late')`),
  ).rejects.toMatchObject({ code: 'BN001' });
  await own.monolith.query(`INSERT INTO item (tag) VALUES ('ours')`);
  await own.db('banyan.replica').delete();
  expect(await coordinator.tidy('catalog')).toBe(true);
  expect(await leftovers(own)).toEqual([]);
});

test('numbers that have come back are not given again, also where no index tells the greatest', async () => {
  const own = await inCutover({
    schemas: {
      monolith: 'CREATE TABLE item (id bigint PRIMARY KEY, no bigserial)',
      service: 'CREATE TABLE article (id bigint PRIMARY KEY, number bigserial)',
    },
    capability: {
      tables: [
        { monolith: 'item', service: 'article', key: { id: 'id' }, columns: { no: 'number' } },
      ],
    },
  });
  await own.service.query(
    `SELECT setval('article_number_seq', 5000); INSERT INTO article (id) VALUES (1)`,
  );
  await streaming(own, 'back');
  await sync?.stop();
  sync = undefined;
  await own.coordinator().abort({ capability: 'catalog', losing: true });
  const { rows } = await own.monolith.query<{ no: string }>(
    'INSERT INTO item (id) VALUES (2) RETURNING no',
  );
  expect(Number(rows[0]?.no)).toBeGreaterThan(5_001);
});
