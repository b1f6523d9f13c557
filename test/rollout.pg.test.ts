// A rollout as a team runs it: `banyan facade` and `banyan rollout` as real processes, real traffic, a real
// control database, a webhook that answers when it likes.
import { createHmac } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Knex } from 'knex';
import { sleep, waitFor } from '../core/lifecycle.ts';
import type { MigrationInput } from '../control/definition.ts';
import type { CapabilityState } from '../control/domain/state.ts';
import { openControl, StateStore } from '../control/store.ts';
import { banyan, startBanyan, writeConfig, type Running } from './support/command.ts';
import { json, serve, type TestServer } from './support/http.ts';
import { createControl, type TestDatabase } from './support/postgres.ts';
import { longTest } from './support/long.ts';

interface Told {
  readonly event: string;
  readonly id: string;
  readonly signature: string;
  readonly body: string;
}

let database: TestDatabase;
let control: Knex;
let store: StateStore;
let monolith: TestServer;
let service: TestServer;
let hook: TestServer;
let config: ReturnType<typeof writeConfig> | undefined;
const running: Running[] = [];
const told: Told[] = [];
/** The service answers every so manieth read with a 500; 0: none. */
let failsEach = 0;
/** The webhook refuses so many times more. */
let refusals = 0;
let load: { stop(): Promise<void>; answers: Map<number, number> } | undefined;

beforeEach(async () => {
  [failsEach, refusals] = [0, 0];
  told.length = 0;
  database = await createControl();
  control = openControl(database.url);
  store = new StateStore(control);
  monolith = await serve(json({ by: 'monolith' }));
  let asked = 0;
  service = await serve((req, res) => {
    asked += 1;
    const fails = failsEach > 0 && asked % failsEach === 0;
    json({ by: 'service' }, fails ? 500 : 200)(req, res);
  });
  hook = await serve((req, res) => {
    let body = '';
    req.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    req.on('end', () => {
      const refused = refusals > 0;
      refusals -= 1;
      const signature = req.headers['banyan-signature']?.toString() ?? '';
      const id = req.headers['banyan-delivery']?.toString() ?? '';
      if (!refused)
        told.push({ event: (JSON.parse(body) as { event: string }).event, id, signature, body });
      res.writeHead(refused ? 503 : 204).end();
    });
  });
});

afterEach(async () => {
  await load?.stop();
  load = undefined;
  for (const one of running.splice(0)) {
    one.child.kill('SIGKILL');
    await one.exited;
  }
  config?.remove();
  for (const server of [monolith, service, hook]) await server.close();
  await control.destroy();
  await database.drop();
});

type Settings = NonNullable<MigrationInput['capabilities'][string]['rollout']>;

const SECRET = { BANYAN_TEST_SECRET: 'only we know' };

/** The definition, an edge in front of it, and so many reads a second through that. */
async function stage(rollout: Settings, perSecond: number): Promise<void> {
  config = writeConfig({
    control: database.url,
    monolith: { upstream: monolith.url },
    services: { catalog: { upstream: service.url } },
    facade: { timeoutMs: 20_000, shedding: false },
    capabilities: {
      catalog: {
        ...{ service: 'catalog', routes: ['/api/**'] },
        // This machine may be slow, and that is not what is tested.
        gates: { shadowSamples: 5, canarySamples: 20, p95FloorMs: 10_000 },
        rollout: {
          ...rollout,
          webhooks: [{ url: hook.url, secret: { env: 'BANYAN_TEST_SECRET' } }],
        },
      },
    },
  });
  const edge = start('facade', '--port', '0', '--admin-port', '0');
  await edge.says('"ready":true');
  const { url } = JSON.parse(edge.stdout()) as { url: string };
  load = startLoad(`${url}/api/x`, perSecond);
}

/** Each read is somebody else's: the edge draws a cohort for it. */
function startLoad(url: string, perSecond: number): NonNullable<typeof load> {
  const over = new AbortController();
  const answers = new Map<number, number>();
  const read = async (): Promise<void> => {
    const answer = await fetch(url);
    await answer.arrayBuffer();
    answers.set(answer.status, (answers.get(answer.status) ?? 0) + 1);
  };
  const run = async (): Promise<void> => {
    const asked: Promise<void>[] = [];
    const began = performance.now();
    for (let n = 0; !over.signal.aborted;) {
      for (; n < ((performance.now() - began) * perSecond) / 1_000; n++) asked.push(read());
      await sleep(20, over.signal);
    }
    await Promise.all(asked);
  };
  const ended = run();
  return {
    answers,
    stop: async () => {
      over.abort();
      await ended;
    },
  };
}

function start(...args: string[]): Running {
  const command = startBanyan(['--config', config?.file ?? '', '--json', ...args], SECRET);
  running.push(command);
  return command;
}

const at = (): Promise<CapabilityState> => store.readOne('catalog');

/** A shadow that bakes for ten minutes is not what is tested here. */
async function inCanary(): Promise<void> {
  const entry = { who: 'test', event: 'advance', why: '', evidence: {} };
  await store.change(await at(), { phase: 'canary' }, entry);
}

async function arrives(phase: string, weight: number, timeoutMs = 60_000): Promise<void> {
  await waitFor(
    async () => {
      const state = await at();
      return state.phase === phase && state.weight === weight;
    },
    { timeoutMs, everyMs: 20, what: `the capability to be in ${phase} ${weight}` },
  );
}

async function events(): Promise<string[]> {
  const lines = await store.journal('catalog');
  return lines.map(({ event }) => event).filter((one) => one.startsWith('rollout'));
}

/**
 * Every event is told, signed by who knows the secret: by whoever looks after this database, also what the
 * rollout was killed while it told it, once that claim has lapsed.
 */
async function expectTold(): Promise<void> {
  const sender = start('sync');
  const ids = (await store.journal('catalog'))
    .filter(({ event }) => event.startsWith('rollout'))
    .map(({ id }) => String(id));
  await waitFor(() => new Set(told.map(({ id }) => id)).size === ids.length, {
    timeoutMs: 90_000,
    what: 'the webhook to be told everything',
  });
  sender.child.kill('SIGKILL');
  await sender.exited;
  expect([...new Set(told.map(({ id }) => id))].sort()).toEqual([...ids].sort());
  for (const { signature, body } of told) {
    const [, seconds = '', mac = ''] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(signature) ?? [];
    const expected = createHmac('sha256', SECRET.BANYAN_TEST_SECRET)
      .update(`${seconds}.${body}`)
      .digest('hex');
    expect(mac).toBe(expected);
  }
}

test('a service that begins to fail under real traffic loses it by itself, within 30 s', async () => {
  await stage({ steps: [50], bakeMs: 600_000 }, 100);
  await inCanary();
  const rollout = start('rollout', 'catalog');
  await arrives('canary', 50);
  await waitFor(() => (load?.answers.get(200) ?? 0) > 300, { timeoutMs: 30_000, what: 'answers' });
  await sleep(3_000);
  expect((await at()).weight).toBe(50);
  // The monolith fails none. (Two points are for rise.test.ts: this machine may be slow.)
  refusals = 2;
  failsEach = 25;
  const since = performance.now();
  await arrives('canary', 0);
  expect(performance.now() - since).toBeLessThan(30_000);
  expect(await rollout.exited).toBe(10);
  const { error } = JSON.parse(rollout.stdout()) as { error: { code: string; message: string } };
  expect(error.code).toBe('ROLLED_BACK');
  expect(error.message).toContain('canary errors');
  expect(await events()).toEqual([
    ...[
      'rollout started',
      'rollout step',
      'rollout red',
      'rollout step back',
      'rollout rolled back',
    ],
  ]);
  // What the webhook refused at first is told again.
  await expectTold();
}, 240_000);

longTest(
  'a rollout whose process is killed again and again is taken up each time, and ends',
  async () => {
    monolith.server.removeAllListeners('request');
    monolith.server.on('request', json({ by: 'all' }));
    service.server.removeAllListeners('request');
    service.server.on('request', json({ by: 'all' }));
    await stage({ steps: [20, 60], bakeMs: 4_000 }, 100);
    let driver = start('rollout', 'catalog');
    for (const [phase, weight] of [
      ['shadow', 0],
      ['canary', 20],
      ['canary', 60],
    ] as const) {
      await arrives(phase, weight);
      driver.child.kill('SIGKILL');
      await driver.exited;
      expect(await at()).toMatchObject({ phase, weight });
      driver = start('rollout', 'catalog');
    }
    expect(`${await driver.exited} ${driver.stdout()}`).toMatch(/^0 .*"status":"done"/);
    expect(await at()).toMatchObject({ phase: 'cutover' });
    expect([...(load?.answers.keys() ?? [])]).toEqual([200]);
    const seen = await events();
    expect(seen.filter((one) => one === 'rollout step')).toHaveLength(5);
    expect(seen.filter((one) => one === 'rollout taken over')).toHaveLength(3);
    await expectTold();
  },
  240_000,
);

test('a human stops it, looks, lets it go on, and ends it: each by a command', async () => {
  await stage({ steps: [30], bakeMs: 600_000 }, 50);
  await inCanary();
  const command = (...args: string[]): ReturnType<typeof banyan> =>
    banyan(['--config', config?.file ?? '', 'rollout', ...args], SECRET);
  const first = start('rollout', 'catalog');
  await arrives('canary', 30);
  const planned = await banyan(['--config', config?.file ?? '', 'plan', 'catalog'], SECRET);
  expect(planned.stdout).toContain('catalog: canary 30 % → cutover');
  expect(planned.stdout).toContain('does: writes and reads go to the service, after a pause');
  expect(planned.stdout).toMatch(
    /rollout: running in canary 30 %; waits: baking for another \d+ min/,
  );
  expect((await command('pause', 'catalog', '--why', 'a holiday')).code).toBe(0);
  expect(await first.exited).toBe(11);
  expect((await command('status', 'catalog')).stdout).toContain('paused in canary 30 %');
  expect(await command('catalog')).toMatchObject({ code: 11 });
  expect((await command('resume', 'catalog', '--detach')).stdout).toContain('left to');
  expect((await command('resume', 'catalog')).code).toBe(4);
  const aborted = await command('abort', 'catalog', '--why', 'no more');
  expect(aborted.code).toBe(0);
  expect(await at()).toMatchObject({ phase: 'canary', weight: 0 });
  expect((await command('status', 'catalog')).stdout).toContain(
    'rolled back in canary 0 %: no more',
  );
  expect((await command('nothing')).code).toBe(2);
}, 240_000);
