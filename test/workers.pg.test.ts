// `banyan facade --workers 2` as real processes: one port, one admin port, and any of them may die.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import {
  banyan,
  processesWith,
  startBanyan,
  writeConfig,
  type Running,
} from './support/command.ts';
import { call, serve, serveSide, type Side } from './support/http.ts';
import { createControl, type TestDatabase } from './support/postgres.ts';
import { begin, closeAll, serveEcho, until } from './support/tunnels.ts';

interface State {
  readonly workers: readonly {
    readonly pid: number;
    readonly stage: string;
    readonly replica?: string;
    readonly inFlight?: number;
    readonly capabilities?: readonly { readonly phase: string }[];
  }[];
}

interface Edge extends Running {
  readonly url: string;
  readonly adminUrl: string;
}

let database: TestDatabase;
let monolith: Side;
let service: Side;
let config: ReturnType<typeof writeConfig>;
/** In the environment of every process of the test. */
let mark: string;
const started: Running[] = [];

beforeAll(async () => {
  database = await createControl();
  [monolith, service] = [await serveSide('monolith'), await serveSide('service')];
  config = writeConfig({
    control: database.url,
    monolith: { upstream: monolith.url },
    services: { catalog: { upstream: service.url } },
    capabilities: {
      catalog: {
        service: 'catalog',
        routes: ['/api/**'],
        gates: { shadowSamples: 0, canarySamples: 0 },
      },
    },
    facade: { timeoutMs: 20_000 },
  });
});

beforeEach(() => {
  mark = randomUUID();
  monolith.waits = false;
});

afterEach(async () => {
  await closeAll();
  for (const one of started.splice(0)) {
    one.child.kill('SIGKILL');
    await one.exited;
  }
  for (const res of monolith.pending.splice(0)) res.destroy();
  await nothingLeft();
});

afterAll(async () => {
  config.remove();
  await Promise.all([monolith.close(), service.close()]);
  await database.drop();
});

function start(port = 0, file = config.file): Running {
  const flags = ['--workers', '2', '--port', String(port), '--admin-port', '0'];
  const running = startBanyan(['--config', file, '--json', 'facade', ...flags], { MARK: mark });
  started.push(running);
  return running;
}

async function startEdge(file?: string): Promise<Edge> {
  const running = start(0, file);
  await running.says('"ready":true');
  const at = JSON.parse(running.stdout()) as { url: string; adminUrl: string; workers: number };
  expect(at.workers).toBe(2);
  return { ...running, url: at.url, adminUrl: at.adminUrl };
}

async function nothingLeft(): Promise<void> {
  await waitFor(() => processesWith(mark).length === 0, {
    timeoutMs: 30_000,
    what: 'every process to end',
  });
}

async function stateOf(edge: Edge): Promise<State> {
  return JSON.parse((await call(`${edge.adminUrl}/state`)).body) as State;
}

async function pidsOf(edge: Edge): Promise<number[]> {
  return (await stateOf(edge)).workers.map(({ pid }) => pid);
}

/** Requests that the metrics of all workers have counted. */
async function counted(edge: Edge): Promise<number> {
  const { body } = await call(`${edge.adminUrl}/metrics`);
  const lines = body.matchAll(/^banyan_requests_total\{.*\} (\d+)$/gm);
  return [...lines].reduce((sum, [, count]) => sum + Number(count), 0);
}

/** Whether nobody listens on the data port any more. */
function refuses(edge: Edge): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(edge.url).port), '127.0.0.1');
    socket.on('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.on('error', () => {
      resolve(true);
    });
  });
}

function ready(edge: Edge): Promise<number> {
  return call(`${edge.adminUrl}/readyz`).then(({ status }) => status);
}

test('requests are shared out, counted together, and answered to the end at SIGTERM', async () => {
  const edge = await startEdge();
  expect(await ready(edge)).toBe(200);
  for (let n = 0; n < 30; n++) expect((await call(`${edge.url}/x`)).status).toBe(200);
  expect(await counted(edge)).toBe(30);
  monolith.waits = true;
  const waiting = Array.from({ length: 24 }, () => call(`${edge.url}/api/slow`));
  await waitFor(() => monolith.pending.length === 24, { timeoutMs: 30_000, what: 'the requests' });
  const { workers } = await stateOf(edge);
  expect(new Set(workers.map(({ replica }) => replica)).size).toBe(2);
  const inFlight = workers.map((one) => one.inFlight ?? 0);
  expect(Math.min(...inFlight)).toBeGreaterThan(0);
  expect(inFlight.reduce((sum, one) => sum + one)).toBe(24);
  const { body } = await call(`${edge.adminUrl}/metrics`);
  expect(body).toMatch(/^banyan_requests_in_flight 24$/m);
  expect(body).toMatch(/^banyan_workers\{stage="listening"\} 2$/m);

  // The admin port answers while every worker is busy; what they have told last stands for them.
  const pids = await pidsOf(edge);
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  try {
    expect((await call(`${edge.adminUrl}/healthz`)).status).toBe(200);
    expect(await counted(edge)).toBe(30);
    expect(await pidsOf(edge)).toEqual(pids);
  } finally {
    for (const pid of pids) process.kill(pid, 'SIGCONT');
  }

  edge.child.kill('SIGTERM');
  await waitFor(async () => (await ready(edge)) === 503, { timeoutMs: 30_000, what: 'not ready' });
  await waitFor(() => refuses(edge), { timeoutMs: 30_000, what: 'new connections to be refused' });
  for (const res of monolith.pending.splice(0)) res.end('at last');
  for (const reply of await Promise.all(waiting)) expect(reply.body).toBe('at last');
  expect(await edge.exited).toBe(0);
  expect(edge.stderr()).toBe('');
  await nothingLeft();
}, 120_000);

test('kill -9 of a worker breaks its own connections only, and it is replaced; kill -9 of the leading process takes them all along', async () => {
  const edge = await startEdge();
  for (let n = 0; n < 20; n++) await call(`${edge.url}/x`);
  expect(await counted(edge)).toBe(20);
  const [victim = 0, other] = await pidsOf(edge);
  const stopped = new AbortController();
  let answers = 0;
  const failures: unknown[] = [];
  const load = Promise.all(
    Array.from({ length: 4 }, async () => {
      while (!stopped.signal.aborted)
        await call(`${edge.url}/x`).then(
          ({ status }) => {
            if (status === 200) answers += 1;
            else failures.push(status);
          },
          (error: unknown) => failures.push(error),
        );
    }),
  );
  await waitFor(() => answers > 50, { timeoutMs: 30_000, what: 'load' });
  process.kill(victim, 'SIGKILL');
  await waitFor(
    async () => {
      const pids = await pidsOf(edge);
      return pids.length === 2 && !pids.includes(victim) && (await ready(edge)) === 200;
    },
    { timeoutMs: 60_000, what: 'a new worker' },
  );
  expect(await pidsOf(edge)).toContain(other);
  const [broken, answered] = [failures.length, answers];
  await waitFor(() => answers > answered + 100, { timeoutMs: 30_000, what: 'more load' });
  stopped.abort();
  await load;
  // Only connections broke, none was left hanging, and none broke once the worker was gone.
  expect(failures.filter((one) => typeof one === 'number')).toEqual([]);
  expect(failures).toHaveLength(broken);
  // What a dead worker had told is still part of the sum.
  const before = await counted(edge);
  expect(before).toBeGreaterThanOrEqual(20);
  for (let n = 0; n < 20; n++) expect((await call(`${edge.url}/x`)).status).toBe(200);
  expect(await counted(edge)).toBe(before + 20);
  expect((await call(`${edge.adminUrl}/metrics`)).body).toMatch(
    /^banyan_worker_restarts_total 1$/m,
  );
  expect(edge.stderr().match(/is replaced/g)).toHaveLength(1);

  expect(processesWith(mark)).toHaveLength(3);
  edge.child.kill('SIGKILL');
  await edge.exited;
  await nothingLeft();
}, 120_000);

test('a change of state reaches every worker, each of which acknowledges it; tunnels move too', async () => {
  const [old, young] = [await serveEcho('old'), await serveEcho('young')];
  const moving = writeConfig({
    control: database.url,
    monolith: { upstream: old.url },
    services: { catalog: { upstream: young.url } },
    // A request hangs until the second signal, however late that comes.
    facade: { timeoutMs: 20_000 },
    capabilities: {
      catalog: {
        service: 'catalog',
        routes: ['/api/**'],
        gates: { shadowSamples: 0, canarySamples: 0 },
      },
    },
  });
  try {
    const edge = await startEdge(moving.file);
    const port = Number(new URL(edge.url).port);
    const before = [await begin(port, '/api/live').opened, await begin(port, '/api/live').opened];
    for (const phase of ['sync', 'shadow', 'canary', 'cutover']) {
      const moved = await banyan(['--config', moving.file, '--json', 'advance', 'catalog']);
      expect(`${phase} ${moved.code} ${moved.code === 0 ? '' : moved.stdout + moved.stderr}`).toBe(
        `${phase} 0 `,
      );
      await waitFor(
        async () => {
          const { workers } = await stateOf(edge);
          return workers.every((one) => one.capabilities?.[0]?.phase === phase);
        },
        { timeoutMs: 30_000, what: `both workers to know of ${phase}` },
      );
    }
    for (const { closed } of before) expect(await closed).toBe(1012);
    for (let n = 0; n < 4; n++) {
      const after = await begin(port, '/api/live').opened;
      after.ws.send('hello');
      await until(after, 'young hello');
    }

    // The first signal drains, a second one ends everything at once.
    young.waits = true;
    const hanging = call(`${edge.url}/api/x`).catch(() => 'broken');
    await waitFor(() => young.pending.length === 1, { timeoutMs: 30_000, what: 'a request' });
    edge.child.kill('SIGINT');
    await waitFor(async () => (await ready(edge)) === 503, {
      timeoutMs: 30_000,
      what: 'not ready',
    });
    edge.child.kill('SIGINT');
    expect(await edge.exited).toBe(130);
    expect(await hanging).toBe('broken');
    await nothingLeft();
  } finally {
    moving.remove();
  }
}, 180_000);

test('a port that is taken is one clear error, and nothing is tried again', async () => {
  const taken = await serve(() => undefined, createServer());
  try {
    const edge = start(taken.port);
    expect(await edge.exited).toBe(2);
    const { error } = JSON.parse(edge.stdout()) as { error: { code: string; message: string } };
    expect(error.code).toBe('CONFIG_INVALID');
    expect(error.message).toBe(`cannot listen on 127.0.0.1:${taken.port}: it is taken`);
    expect(edge.stderr()).toBe('');
    await nothingLeft();
  } finally {
    await taken.close();
  }
}, 120_000);

test('a number of workers that makes no sense is refused', async () => {
  const { code, stderr } = await banyan(['facade', '--workers', '1.5']);
  expect([code, stderr]).toEqual([2, expect.stringContaining('Not a number of workers')]);
}, 120_000);
