// Abort and retirement: whatever the phase, and wherever it was cut short, nothing of ours is left.
import { afterEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { withClient } from '../core/postgres/connect.ts';
import { catalogOf, originsOf } from '../test/support/catalog.ts';
import { failing } from '../test/support/failing.ts';
import { createPair, SESSION, type Pair, type PairOptions } from '../test/support/pair.ts';
import { serverUrl } from '../test/support/postgres.ts';
import { stopAt } from '../test/support/stand-still.ts';
import {
  advanceTo,
  equal,
  startGated,
  startSync,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';
import { flowNames } from './domain/names.ts';
import type { Phase } from './domain/phase.ts';

/** Statements from one death to the next; EVERY_STATEMENT=1 dies after each. */
const STRIDE = process.env['EVERY_STATEMENT'] === undefined ? 4 : 1;

let pair: Pair | undefined;
let sync: RunningSync | undefined;

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair?.close();
});

async function begin(options: PairOptions = {}): Promise<Pair> {
  const own = (pair = await createPair(options));
  await own.monolith.query(
    `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', 1 FROM generate_series(1, 5) i`,
  );
  return own;
}

/** Of both databases. */
async function catalogs(own: Pair): Promise<string[][]> {
  const [shop, catalog] = [own.monolith.database ?? '', own.service.database ?? ''];
  const names = [
    flowNames('catalog', 'to', { source: shop, target: catalog }).origin,
    flowNames('catalog', 'back', { source: catalog, target: shop }).origin,
  ];
  return [
    await catalogOf(own.monolith),
    await catalogOf(own.service),
    await originsOf(own.monolith, names),
  ];
}

const write = (own: Pair): Promise<unknown> =>
  withClient(own.monolithAppUrl, SESSION, (client) =>
    client.query(`INSERT INTO prd (no, nm, prc) VALUES (gen_random_uuid()::varchar(20), 'new', 1)`),
  );

/** Whether the service's database lets anybody in. */
const allow = (own: Pair, yes: boolean): Promise<unknown> =>
  withClient(serverUrl('postgres'), SESSION, (client) =>
    client.query(`ALTER DATABASE ${own.service.database ?? ''} ALLOW_CONNECTIONS ${yes}`),
  );

test.each<Phase>(['sync', 'canary', 'cutover'])(
  'abort in %s leaves both databases as they were',
  async (phase) => {
    const own = await begin();
    const before = await catalogs(own);
    sync = startSync(own);
    await advanceTo(own, phase);
    await streaming(own, 'to');
    if (phase === 'cutover') {
      await own.coordinator().rehearse('catalog');
      await withClient(own.serviceAppUrl, SESSION, (client) =>
        client.query(`UPDATE product SET name = 'by the service' WHERE id = 1`),
      );
    }
    expect(await own.coordinator().abort({ capability: 'catalog' })).toEqual({
      ...{ capability: 'catalog', from: phase, to: 'monolith', lost: [] },
      ...{ serviceLeft: false, astray: [] },
    });
    expect(await catalogs(own)).toEqual(before);
    expect(await own.store.readOne('catalog')).toMatchObject({ phase: 'monolith', holding: false });
    await equal(own);
    await write(own);
  },
);

test('abort without the service’s database asks for what is lost by name, and cleans the monolith', async () => {
  const own = await begin();
  const before = await catalogOf(own.monolith);
  sync = startSync(own);
  await advanceTo(own, 'cutover');
  await withClient(own.serviceAppUrl, SESSION, (client) =>
    client.query(
      `INSERT INTO product (id, sku, name, price_cents, state) VALUES (4000, 'S', 's', 1, 'active')`,
    ),
  );
  await equal(own);
  await sync.stop();
  sync = undefined;
  await allow(own, false);
  const coordinator = own.coordinator();
  try {
    await expect(coordinator.abort({ capability: 'catalog' })).rejects.toMatchObject({
      code: 'DATABASE_UNREACHABLE',
      hint: expect.stringContaining('--lose-service-writes'),
    });
    expect(await own.store.readOne('catalog')).toMatchObject({ phase: 'cutover' });
    await own.db('banyan.replica').insert({
      id: 'cut-off',
      heartbeat_at: own.db.raw(`clock_timestamp() - interval '10 seconds'`),
    });
    const result = await coordinator.abort({ capability: 'catalog', losing: true });
    expect(result).toMatchObject({
      lost: [expect.stringContaining('what the service has written since 2')],
      serviceLeft: true,
      // Nothing is closed there.
      astray: [],
    });
    expect(await catalogOf(own.monolith)).toEqual(before);
    await write(own);
    // Keys that the service gave and that came back are not given again.
    const { rows } = await own.monolith.query<{ last: number }>(
      'SELECT max(prd_id)::int AS last FROM prd',
    );
    expect(rows[0]?.last).toBeGreaterThan(4_000);
  } finally {
    await allow(own, true);
  }
  // It is back: the same command cleans it, too.
  await own.db('banyan.replica').delete();
  await coordinator.abort({ capability: 'catalog' });
  expect((await catalogs(own)).flat().filter((line) => line.includes('banyan'))).toEqual([]);
});

test.each(['does not drain', 'is gone'])(
  'where the service %s, nothing of it comes back any more when the keys are counted',
  async (what) => {
    const own = await begin();
    const gated = startGated(own);
    sync = gated;
    await advanceTo(own, 'cutover');
    await streaming(own, 'back');
    gated.gate.shut();
    await withClient(own.serviceAppUrl, SESSION, (client) =>
      client.query(
        `INSERT INTO product (id, sku, name, price_cents, state) VALUES (4000, 'S', 's', 1, 'active')`,
      ),
    );
    if (what === 'is gone') {
      await sync.stop();
      await allow(own, false);
    }
    const back = flowNames('catalog', 'back', {
      source: own.service.database ?? '',
      target: own.monolith.database ?? '',
    });
    const parts = async (): Promise<unknown[]> => [
      ...(
        await own.monolith.query<object>('SELECT FROM banyan.checkpoint WHERE flow = $1', [
          back.flow,
        ])
      ).rows,
      ...(await originsOf(own.monolith, [back.origin])),
    ];
    expect(await parts()).toHaveLength(2);
    const stop = stopAt(/setval/);
    try {
      const aborted = own.coordinator().abort({ capability: 'catalog', losing: true });
      await Promise.race([stop.reached, aborted]);
      expect(await parts()).toEqual([]);
      stop.wake();
      expect(await aborted).toMatchObject({ serviceLeft: what === 'is gone' });
    } finally {
      stop.restore();
      await allow(own, true);
    }
    await write(own);
  },
);

test.each(['retired', 'abort'] as const)(
  '%s that dies after one statement or another goes on from there, and never lets a write in between',
  async (what) => {
    const own = await begin({
      schemas: {
        monolith:
          'CREATE TABLE prd (prd_id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, no text, nm text, prc integer)',
        service: 'CREATE TABLE product (id bigint PRIMARY KEY, sku text, name text, price integer)',
      },
      capability: {
        leaves: 'nothing',
        tables: [
          {
            monolith: 'prd',
            service: 'product',
            key: { prd_id: 'id' },
            columns: { no: 'sku', nm: 'name', prc: 'price' },
          },
        ],
      },
    });
    const before = await catalogs(own);
    sync = startSync(own);
    await advanceTo(own, what === 'retired' ? 'cutover' : 'canary');
    await streaming(own, 'to');
    const coordinator = own.coordinator();
    // Retirement changes the state first, and then nothing but what databases hold: as abort does.
    if (what === 'retired')
      await own.store.change(
        await own.store.readOne('catalog'),
        { phase: 'retired' },
        { who: 'test', event: 'advance', why: '', evidence: {} },
      );
    const go = (): Promise<unknown> =>
      what === 'retired'
        ? coordinator.tidy('catalog')
        : coordinator.abort({ capability: 'catalog' });
    let kills = 0;
    for (let budget = 0; ; budget += STRIDE) {
      const dead = failing(budget);
      const failed = await go()
        .then(() => false)
        .catch(() => true)
        .finally(dead.restore);
      if (!failed) break;
      kills += 1;
      if (what === 'retired')
        await expect(write(own)).rejects.toMatchObject({ code: /^(BN001|42501)$/ });
      else await write(own);
      // What the next coordinator meets: the state as it is, never held.
      expect((await own.store.readOne('catalog')).holding).toBe(false);
      expect(budget).toBeLessThan(300);
    }
    await waitFor(async () => !(await coordinator.tidy('catalog').catch(() => true)), {
      timeoutMs: 30_000,
      what: 'nothing to be left',
    });
    expect(kills).toBeGreaterThan(5);
    const after = await catalogs(own);
    const acl = (all: string[][]): string[][] =>
      all.map((lines) =>
        lines.map((line) => (what === 'retired' ? line.replace(/ \{.*\}| $/, '') : line)),
      );
    expect(acl(after)).toEqual(acl(before));
  },
);

test.each(['comes back', 'is lost'])(
  'an edge that is cut off while the service owns meets a fence there, also behind an abort: what it wrote %s',
  async (becomes) => {
    const own = await begin();
    sync = startSync(own);
    await advanceTo(own, 'cutover');
    await streaming(own, 'back');
    if (becomes === 'is lost') await sync.stop();
    await own.db('banyan.replica').insert({
      id: 'cut-off',
      heartbeat_at: own.db.raw(`clock_timestamp() - interval '10 seconds'`),
    });
    const abort = () => own.coordinator().abort({ capability: 'catalog', losing: true });
    expect(await abort()).toMatchObject({ from: 'cutover', astray: ['cut-off'] });
    const write = withClient(own.serviceAppUrl, SESSION, (client) =>
      client.query(`UPDATE product SET name = 'late'`),
    );
    await expect(write).rejects.toMatchObject({ code: 'BN001' });
    await own.monolith.query(`UPDATE prd SET nm = 'ours'`);
    // It is heard of again, and knows by now.
    await own.db('banyan.replica').delete();
    expect(await own.coordinator().tidy('catalog')).toBe(true);
    expect(await own.coordinator().tidy('catalog')).toBe(false);
    await withClient(own.serviceAppUrl, SESSION, (client) =>
      client.query(`UPDATE product SET name = 'free'`),
    );
  },
);
