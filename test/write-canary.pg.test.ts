// A write canary with everything running: two edges, sync and commands as processes of their own, clients
// that write and read back through the edges all the while, and processes killed on the way in and out.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { listConflicts } from '../sync/conflicts.ts';
import { banyan, startBanyan, writeConfig, type Running } from './support/command.ts';
import { call } from './support/http.ts';
import {
  itemsLoad,
  serveItems,
  type Account,
  type ItemsApp,
  type ItemsLoad,
} from './support/items-app.ts';
import type { Pair } from './support/pair.ts';
import { Stops, type Step } from './support/switching/stop-at.ts';
import { advanceTo, noteClean, startSync } from './support/sync.ts';
import { atRest, bothStream, createItems, sameItems } from './support/write-canary.ts';
import { longTest } from './support/long.ts';

/** A machine that is busy with other tests sheds nothing here. */
const PATIENT = { hold: { timeoutMs: 30_000 }, breaker: false, shedding: false } as const;

const NO_LOAD: ItemsLoad = { wrong: [], acknowledged: () => 0, stop: () => Promise.resolve([]) };

let pair: Pair;
let apps: { monolith: ItemsApp; service: ItemsApp };
let config: ReturnType<typeof writeConfig>;
let sync: Running;
let edges: { running: Running; url: string }[] = [];
let load: ItemsLoad;
let stops: Stops | undefined;
/** Held until a test lets the monolith call back. */
let mayCallBack: () => Promise<unknown> = () => Promise.resolve();

const run = (...args: string[]) => banyan(['--config', config.file, '--json', ...args]);

async function startEdge(): Promise<{ running: Running; url: string }> {
  const running = startBanyan([
    '--config',
    config.file,
    '--json',
    '--log-level',
    'error',
    'facade',
    '--port',
    '0',
    '--admin-port',
    '0',
  ]);
  await running.says('"ready":true');
  const line =
    running
      .stdout()
      .split('\n')
      .find((one) => one.includes('"ready":true')) ?? '';
  return { running, url: (JSON.parse(line) as { url: string }).url };
}

async function restartSync(): Promise<void> {
  sync = startBanyan(['--config', config.file, '--json', '--log-level', 'error', 'sync']);
  await bothStream(pair);
}

function kill(running: Running): Promise<number> {
  running.child.kill('SIGKILL');
  return running.exited;
}

async function verified(): Promise<void> {
  await noteClean(pair);
  await bothStream(pair);
}

beforeEach(async () => {
  edges = [];
  load = NO_LOAD;
  stops = undefined;
  pair = await createItems({ facade: PATIENT });
  mayCallBack = () => Promise.resolve();
  apps = {
    monolith: await serveItems('monolith', pair.monolithAppUrl, () => mayCallBack()),
    service: await serveItems('service', pair.serviceAppUrl),
  };
  const { monolith, services } = pair.connections;
  config = writeConfig({
    ...pair.migration,
    control: pair.controlUrl,
    monolith: { ...monolith, upstream: apps.monolith.url },
    services: { catalog: { ...services['catalog'], upstream: apps.service.url } },
  });
  const first = startSync(pair);
  await advanceTo(pair, 'canary');
  await first.stop();
  await restartSync();
  for (let count = 0; count < 2; count++) edges.push(await startEdge());
  load = itemsLoad(() => edges.map(({ url }) => url), 4);
}, 120_000);

afterEach(async () => {
  await load.stop();
  await Promise.all([kill(sync), ...edges.map(({ running }) => kill(running))]);
  await stops?.close();
  config.remove();
  await apps.monolith.close();
  await apps.service.close();
  await pair.close();
});

/** So many more writes have been acknowledged. */
async function writes(count: number): Promise<void> {
  const from = load.acknowledged();
  await waitFor(() => load.acknowledged() >= from + count, {
    timeoutMs: 30_000,
    what: `${count} more writes`,
  });
}

/** Every acknowledged write is on both sides, once. */
async function nothingLost(accounts: readonly Account[]): Promise<void> {
  await bothStream(pair);
  await bothStream(pair);
  const rows = (await sameItems(pair)) as { id: string; tag: string; n: number }[];
  const byTag = new Map(rows.map((row) => [row.tag, row]));
  const lost = accounts.filter(({ id, tag, acknowledged, unknown }) => {
    const row = byTag.get(tag);
    if (Number(row?.id) !== id) return true;
    const n = row?.n ?? -1;
    return n < acknowledged || n > acknowledged + unknown;
  });
  expect(lost).toEqual([]);
}

test('cohorts write at the service and read what they wrote, on to a cutover and back to shadow, with no error and no conflict', async () => {
  const command = async (...args: string[]): Promise<void> => {
    expect(await run(...args)).toMatchObject({ code: 0, stderr: '' });
    await writes(25);
  };
  const madeAtService = async (): Promise<number> => {
    const { rows } = await pair.service.query<{ n: number }>(
      'SELECT count(*)::int AS n FROM article WHERE id % 2 = 1',
    );
    return rows[0]?.n ?? 0;
  };
  await writes(30);
  await command('advance', 'catalog', '--weight', '30');
  await command('advance', 'catalog', '--weight', '70');
  await waitFor(async () => (await madeAtService()) > 5, {
    timeoutMs: 30_000,
    what: 'cohorts to write at the service',
  });
  await command('advance', 'catalog', '--weight', '20');
  const status = await banyan(['--config', config.file, 'status']);
  expect(status.stdout).toMatch(/canary 20 %, writes too/);
  await verified();
  await command('advance', 'catalog', '--to', 'cutover');
  await atRest(pair, { phase: 'cutover', shared: false }, ['service']);
  await bothStream(pair);
  await command('rollback', 'catalog');
  await command('advance', 'catalog', '--weight', '50');
  const applier = pair.connections.monolith.database?.applier ?? '';
  expect(await listConflicts('catalog', applier)).toEqual([]);
  await command('rollback', 'catalog', '--to', 'shadow');
  await atRest(pair, { phase: 'shadow', shared: false }, ['monolith']);
  expect(load.wrong).toEqual([]);
  const accounts = await load.stop();
  expect(accounts.every(({ unknown }) => unknown === 0)).toBe(true);
  const rows2 = (await pair.monolith.query<{ tag: string; n: number }>('SELECT tag, n FROM item'))
    .rows;
  const byTag = new Map(rows2.map(({ tag, n }) => [tag, n]));
  expect(accounts.filter(({ tag, acknowledged }) => byTag.get(tag) !== acknowledged)).toEqual([]);
  expect([...apps.monolith.refusals, ...apps.service.refusals]).toEqual([]);
}, 240_000);

longTest(
  'no process that is killed on the way in or out loses a write, and the capability comes to rest by itself',
  async () => {
    const isOpen = async (): Promise<boolean> =>
      (
        await pair.db.raw<{ rows: unknown[] }>(
          `SELECT 1 FROM banyan.switch WHERE status IN ('running', 'flipped')`,
        )
      ).rows.length > 0;
    const isHeld = async (): Promise<boolean> => (await pair.store.readOne('catalog')).holding;
    const at = await Stops.open(pair.db, pair.controlUrl);
    stops = at;
    const rest = async (command: Running): Promise<void> => {
      await command.exited;
      await waitFor(async () => !(await isOpen()) && !(await isHeld()), {
        timeoutMs: 90_000,
        what: 'the capability to come to rest',
      });
      await writes(20);
    };
    /** Starts a command, kills somebody while it stands at this step, and waits until all is at rest again. */
    const killAt = async (
      step: Step,
      victim: 'coordinator' | 'sync',
      ...args: string[]
    ): Promise<void> => {
      await at.set(step);
      const command = startBanyan(['--config', config.file, '--json', ...args]);
      try {
        await at.reached(() => command.child.exitCode !== null);
        await kill(victim === 'sync' ? sync : command);
      } finally {
        await at.release();
      }
      if (victim === 'sync') await restartSync();
      await rest(command);
    };
    /** An edge: as soon as writes are held, which it may not have acknowledged yet. */
    const killEdge = async (...args: string[]): Promise<void> => {
      const command = startBanyan(['--config', config.file, '--json', ...args]);
      await waitFor(async () => (await isHeld()) || command.child.exitCode !== null, {
        timeoutMs: 60_000,
        everyMs: 1,
        what: 'the moment to kill an edge',
      });
      const [first] = edges.splice(0, 1);
      if (first) await kill(first.running);
      edges.push(await startEdge());
      await rest(command);
    };
    const weigh = async (weight: number): Promise<void> => {
      await bothStream(pair);
      expect(await run('advance', 'catalog', '--weight', String(weight))).toMatchObject({
        code: 0,
      });
      const { shared } = await pair.store.readOne('catalog');
      expect(shared).toBe(weight > 0);
    };
    await writes(20);
    await killAt('checked', 'coordinator', 'advance', 'catalog', '--weight', '40');
    await killAt('checked', 'sync', 'advance', 'catalog', '--weight', '40');
    await weigh(40);
    await writes(20);
    await killAt('held', 'coordinator', 'advance', 'catalog', '--weight', '0');
    await weigh(40);
    await killEdge('advance', 'catalog', '--weight', '0');
    await weigh(40);
    await killAt('held', 'sync', 'advance', 'catalog', '--weight', '0');
    await weigh(40);
    await verified();
    await killAt('held', 'coordinator', 'advance', 'catalog');
    // It had not flipped: whoever came next took it back.
    expect((await pair.store.readOne('catalog')).phase).toBe('canary');
    await weigh(0);
    expect(load.wrong).toEqual([]);
    await nothingLost(await load.stop());
    expect([...apps.monolith.refusals, ...apps.service.refusals]).toEqual([]);
  },
  600_000,
);

test('a write that calls back through the other edge during a hold is let through, and the switch goes on', async () => {
  const [one = '', two = ''] = edges.map(({ url }) => url);
  apps.monolith.back = two;
  let reached = false;
  mayCallBack = async () => {
    reached = true;
    await waitFor(async () => (await pair.store.readOne('catalog')).holding, {
      timeoutMs: 30_000,
      what: 'the hold',
    });
    // The other edge has said that it is quiet.
    await waitFor(
      async () =>
        (
          await pair.db.raw<{ rows: unknown[] }>(
            `SELECT 1 FROM banyan.replica_ack a JOIN banyan.capability c USING (capability) WHERE a.version = c.version`,
          )
        ).rows.length > 0,
      { timeoutMs: 30_000, what: 'an acknowledgement' },
    );
  };
  await load.stop();
  const outer = call(`${one}/api/items?back=1`, { method: 'POST', body: 'outer' });
  await waitFor(() => reached, { timeoutMs: 30_000, what: 'the outer write' });
  await verified();
  const { pauseMs } = await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
  const reply = await outer;
  expect(JSON.parse(reply.body)).toMatchObject({ back: 200 });
  expect(pauseMs).toBeLessThan(27_000);
  await atRest(pair, { phase: 'cutover' }, ['service']);
  const rows = (await sameItems(pair)) as { tag: string }[];
  expect(rows.map(({ tag }) => tag)).toEqual(expect.arrayContaining(['outer', 'outer back']));
  expect(await listConflicts('catalog', pair.connections.monolith.database?.applier ?? '')).toEqual(
    [],
  );
  expect(apps.monolith.refusals).toEqual([]);
}, 120_000);
