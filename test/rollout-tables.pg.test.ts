// A rollout of a capability with tables as a team runs it: edge, sync and `banyan rollout` as processes of
// their own, applications on both sides that write and read two tables, clients that remember what was
// acknowledged, and drivers that are killed.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import type { MigrationInput } from '../control/definition.ts';
import { startBanyan, writeConfig, type Running } from './support/command.ts';
import {
  itemsLoad,
  serveItems,
  type Account,
  type ItemsApp,
  type ItemsLoad,
  type ItemsTexts,
} from './support/items-app.ts';
import { longTest } from './support/long.ts';
import { createPair, type Pair } from './support/pair.ts';
import { equal } from './support/sync.ts';

type Settings = NonNullable<MigrationInput['capabilities'][string]['rollout']>;

/** A product and its text: two tables on one side, three on the other. */
const TEXTS: Readonly<Record<'monolith' | 'service', ItemsTexts>> = {
  monolith: {
    insert: `INSERT INTO prd (no, nm, dsc, prc) VALUES ($1::text, $1::text, 'about ' || $1::text, 0)
      RETURNING prd_id::text AS id, prc::int AS n`,
    update:
      'UPDATE prd SET prc = prc + 1 WHERE prd_id = $1 RETURNING prd_id::text AS id, prc::int AS n',
    read: 'SELECT prd_id::text AS id, prc::int AS n FROM prd WHERE prd_id = $1',
  },
  service: {
    insert: `WITH made AS (
        INSERT INTO product (sku, name, price_cents, state) VALUES ($1::text, $1::text, 0, 'active') RETURNING id),
      said AS (INSERT INTO product_text (product_id, body) SELECT id, 'about ' || $1::text FROM made)
      SELECT id::text, 0 AS n FROM made`,
    update: `UPDATE product SET price_cents = price_cents + 100 WHERE id = $1
      RETURNING id::text, (price_cents / 100)::int AS n`,
    read: 'SELECT id::text, (price_cents / 100)::int AS n FROM product WHERE id = $1',
  },
};

/** A machine that is busy with other tests sheds nothing here. */
const PATIENT = { hold: { timeoutMs: 30_000 }, breaker: false, shedding: false } as const;

let pair: Pair;
let apps: { monolith: ItemsApp; service: ItemsApp };
let config: ReturnType<typeof writeConfig>;
let load: ItemsLoad | undefined;
const running: Running[] = [];
/** The service answers every so manieth read with a 500; 0: none. */
let failsEach = 0;

beforeEach(() => {
  [load, failsEach] = [undefined, 0];
});

afterEach(async () => {
  await load?.stop();
  await Promise.all(running.splice(0).map(kill));
  config.remove();
  await apps.monolith.close();
  await apps.service.close();
  await pair.close();
});

/** Both databases with something in the monolith's, both applications and an edge; clients through that. */
async function stage(rollout: Settings): Promise<void> {
  pair = await createPair({
    facade: PATIENT,
    capability: {
      rollout,
      routes: [
        { path: '/api/items', timeoutMs: 20_000 },
        { path: '/api/items/:id', timeoutMs: 20_000 },
      ],
      // This machine may be slow, and that is not what is tested.
      gates: { shadowSamples: 10, canarySamples: 10, p95FloorMs: 10_000 },
    },
  });
  await pair.monolith.query(`
    INSERT INTO cat SELECT i, 'category ' || i, NULL FROM generate_series(1, 20) i;
    INSERT INTO prd (no, nm, dsc, prc, cat_id)
      SELECT 'seed ' || i, 'seed', 'text', i, 1 + i % 20 FROM generate_series(1, 300) i`);
  let reads = 0;
  apps = {
    monolith: await serveItems('monolith', pair.monolithAppUrl, undefined, TEXTS.monolith),
    service: await serveItems('service', pair.serviceAppUrl, undefined, TEXTS.service),
  };
  const [answers] = apps.service.server.listeners('request') as ((...args: unknown[]) => void)[];
  apps.service.server.removeAllListeners('request');
  apps.service.server.on('request', (req, res) => {
    if (req.method === 'GET') reads += 1;
    if (req.method !== 'GET' || failsEach === 0 || reads % failsEach !== 0) answers?.(req, res);
    else res.writeHead(500).end('by the test');
  });
  const { monolith, services } = pair.connections;
  config = writeConfig({
    ...pair.migration,
    control: pair.controlUrl,
    monolith: { ...monolith, upstream: apps.monolith.url },
    services: { catalog: { ...services['catalog'], upstream: apps.service.url } },
  });
  const edge = start('facade', '--port', '0', '--admin-port', '0');
  await edge.says('"ready":true');
  const { url } = JSON.parse(edge.stdout()) as { url: string };
  load = itemsLoad(() => [url], 3);
}

function start(...args: string[]): Running {
  const command = startBanyan(['--config', config.file, '--json', '--log-level', 'error', ...args]);
  running.push(command);
  return command;
}

/** A driver that has the rollout before sync could take it up, and sync beside it. */
async function begin(): Promise<Running> {
  const driver = start('rollout', 'catalog');
  await waitFor(
    async () => {
      const [row] = await pair.db<{ holder: string | null }>('banyan.rollout');
      return (row?.holder ?? null) !== null;
    },
    { timeoutMs: 60_000, everyMs: 10, what: 'the command to drive' },
  );
  start('sync');
  return driver;
}

function kill(command: Running): Promise<number> {
  command.child.kill('SIGKILL');
  return command.exited;
}

async function arrives(phase: string, weight: number): Promise<void> {
  await waitFor(
    async () => {
      const state = await pair.store.readOne('catalog');
      return state.phase === phase && state.weight === weight;
    },
    { timeoutMs: 60_000, everyMs: 10, what: `the capability to be in ${phase} ${weight}` },
  );
}

async function ends(): Promise<string> {
  return waitFor(
    async () => {
      const [row] = await pair.db<{ status: string; why: string }>('banyan.rollout');
      return row?.status === 'running' || row?.status === 'rolling back'
        ? undefined
        : `${row?.status ?? 'none'} ${row?.why ?? ''}`.trim();
    },
    { timeoutMs: 90_000, what: 'the rollout to end' },
  );
}

async function events(): Promise<string[]> {
  return (await pair.store.journal('catalog'))
    .map(({ event }) => event)
    .filter((one) => one.startsWith('rollout'));
}

/** Both sides hold the same, and of each client what was acknowledged, once. */
async function nothingLost(accounts: readonly Account[]): Promise<void> {
  await equal(pair);
  const { rows } = await pair.service.query<{ sku: string; id: string; n: number; body: string }>(
    `SELECT sku, id::text, (price_cents / 100)::int AS n, body
       FROM product JOIN product_text ON product_id = id`,
  );
  const found = new Map(rows.map(({ sku, ...row }) => [sku, row]));
  expect(accounts.length).toBeGreaterThan(5);
  for (const { id, tag, acknowledged, unknown } of accounts) {
    expect(unknown).toBe(0);
    expect(found.get(tag)).toEqual({ id: String(id), n: acknowledged, body: `about ${tag}` });
  }
  expect([...apps.monolith.refusals, ...apps.service.refusals]).toEqual([]);
}

test('it walks from the monolith to the cutover, and sync takes it up when its driver is killed on the way', async () => {
  await stage({ steps: [50], bakeMs: 500 });
  const driver = await begin();
  await arrives('canary', 50);
  await kill(driver);
  expect(await ends()).toBe('done');
  expect(await pair.store.readOne('catalog')).toMatchObject({ phase: 'cutover', holding: false });
  const seen = await events();
  expect(seen.filter((one) => one === 'rollout step')).toHaveLength(4);
  expect(seen.filter((one) => one === 'rollout taken over')).toHaveLength(1);
  expect(seen.at(-1)).toBe('rollout done');
  expect(load?.wrong).toEqual([]);
  await nothingLost((await load?.stop()) ?? []);
}, 240_000);

longTest(
  'with its driver killed in every phase it reaches the cutover, turns red there, and ownership comes back with all that was written',
  async () => {
    // Longer than a lease: nobody drives for so long behind the last kill.
    await stage({ steps: [20, 60], bakeMs: 15_000 });
    let driver = await begin();
    for (const [phase, weight] of [
      ['sync', 0],
      ['shadow', 0],
      ['canary', 20],
      ['canary', 60],
      ['cutover', 0],
    ] as const) {
      await arrives(phase, weight);
      await kill(driver);
      driver = start('rollout', 'catalog');
    }
    expect(load?.wrong).toEqual([]);
    failsEach = 4;
    await arrives('canary', 0);
    failsEach = 0;
    expect(await ends()).toContain('rolled back canary errors');
    const since = load?.acknowledged() ?? 0;
    await waitFor(() => (load?.acknowledged() ?? 0) > since + 10, {
      ...{ timeoutMs: 30_000, what: 'writes at the monolith' },
    });
    expect(await pair.store.readOne('catalog')).toMatchObject({ phase: 'canary', holding: false });
    const accounts = (await load?.stop()) ?? [];
    // Reads that failed were the test's own; no write did.
    expect(load?.wrong.filter((line) => !/^GET .*: 500 by the test$/.test(line))).toEqual([]);
    await nothingLost(accounts);
  },
  480_000,
);
