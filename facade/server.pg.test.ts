import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { Knex } from 'knex';
import { defineMigration } from '../control/define.ts';
import type { Migration } from '../control/definition.ts';
import { Evidence } from '../control/evidence.ts';
import { Replicas } from '../control/replicas.ts';
import { migrateControl, openControl, StateStore, type StateChange } from '../control/store.ts';
import { createLogger } from '../core/log.ts';
import { call, eventually, serveSide, type Reply, type Side } from '../test/support/http.ts';
import { createControl, createDatabase, type TestDatabase } from '../test/support/postgres.ts';
import { facadePart } from './server.ts';

let database: TestDatabase;
let control: Knex;
let store: StateStore;
const open: { close(): Promise<void> }[] = [];

beforeAll(async () => {
  database = await createControl();
  control = openControl(database.url);
  store = new StateStore(control);
});

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
  await control.raw('TRUNCATE banyan.capability, banyan.replica, banyan.shadow_sample CASCADE');
});

afterAll(async () => {
  await control.destroy();
  await database.drop();
});

const MOVE = { who: 'test', event: 'advance', why: '', evidence: {} };

async function change(to: StateChange): Promise<number> {
  return (await store.change(await store.readOne('catalog'), to, MOVE)).version;
}

function migrationTo(
  monolith: string,
  service: string,
  tables: boolean,
  drain: { delayMs?: number } = {},
): Migration {
  const database = { capture: 'c', applier: 'a', coordinator: 'o' };
  return defineMigration({
    monolith: { upstream: monolith, database },
    services: { catalog: { upstream: service, database } },
    // Writes are kept in flight for as long as a test takes.
    facade: { timeoutMs: 30_000, shedding: false, drain },
    capabilities: {
      catalog: {
        service: 'catalog',
        routes: ['/api/products', '/api/products/:id'],
        tables: tables ? [{ monolith: 'p', service: 'p', key: { id: 'id' } }] : [],
      },
    },
  });
}

async function side(name: string): Promise<Side> {
  const self = await serveSide(name);
  open.push(self);
  return self;
}

interface Running {
  readonly url: string;
  readonly adminUrl: string;
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

/** Runs a standalone facade; `started` resolves when it listens. */
function run(
  monolith: Side,
  service: Side,
  replicaId: string,
  { controlUrl = database.url, tables = false, drain = {} } = {},
): { started: Promise<Running>; stop: AbortController } {
  const stop = new AbortController();
  const listening = Promise.withResolvers<Running>();
  const ended = facadePart({
    migration: migrationTo(monolith.url, service.url, tables, drain),
    upstreams: { monolith: monolith.url, services: { catalog: service.url } },
    controlUrl,
    replicaId,
    data: { host: '127.0.0.1', port: 0 },
    admin: { host: '127.0.0.1', port: 0 },
    log: createLogger({}, 'silent'),
    onListening: (at) => {
      listening.resolve({ ...at, stop, ended });
    },
  }).run(stop.signal, () => undefined);
  ended.catch((error: unknown) => {
    listening.reject(error);
  });
  open.push({
    close: async () => {
      stop.abort();
      await ended;
    },
  });
  return { started: listening.promise, stop };
}

async function statusOf(url: string): Promise<number> {
  return call(url).then(
    (reply) => reply.status,
    () => 0,
  );
}

describe('the standalone facade', () => {
  test('takes no request before it knows the states, and has registered before', async () => {
    const monolith = await side('monolith');
    const empty = await createDatabase('facade_late');
    open.push({ close: () => empty.drop() });
    let listens = false;
    const { started } = run(monolith, monolith, 'late', { controlUrl: empty.url });
    void started.then(() => {
      listens = true;
    });
    const until = performance.now() + 500;
    await eventually('some failed attempts', () => performance.now() > until);
    expect(listens).toBe(false);
    await migrateControl(empty.url);
    const facade = await started;
    expect(await statusOf(`${facade.adminUrl}/readyz`)).toBe(200);
    const late = openControl(empty.url);
    open.push({ close: () => late.destroy() });
    expect((await new Replicas(late).acknowledged('catalog', 0, 0)).live).toEqual(['late']);
    facade.stop.abort();
    await facade.ended;
  });

  test('reads no state before its registration is committed', async () => {
    const monolith = await side('monolith');
    let listens = false;
    let started: Promise<Running> | undefined;
    await control.transaction(async (blocking) => {
      await blocking.raw('LOCK TABLE banyan.replica IN EXCLUSIVE MODE');
      started = run(monolith, monolith, 'blocked').started;
      void started.then(() => {
        listens = true;
      });
      await eventually('the registration to be blocked', async () => {
        const { rows } = await control.raw<{ rows: unknown[] }>(
          `SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'banyan.replica'::regclass`,
        );
        return rows.length > 0;
      });
      const until = performance.now() + 300;
      await eventually('a read to have been possible', () => performance.now() > until);
      expect(listens).toBe(false);
    });
    await started;
  });

  test('refuses what waits for a switch when it is told to stop', async () => {
    const monolith = await side('monolith');
    const facade = await run(monolith, monolith, 'stop').started;
    const version = await change({ holding: true });
    await eventually('the hold', async () => {
      return (await new Replicas(control).acknowledged('catalog', version, 0)).silent.length === 0;
    });
    const held = call(`${facade.url}/api/products`, { method: 'POST', body: 'x' });
    await eventually('it to wait', async () => {
      const { body } = await call(`${facade.adminUrl}/metrics`);
      return body.includes('banyan_held_writes{capability="catalog"} 1');
    });
    const began = performance.now();
    facade.stop.abort();
    expect(await held).toMatchObject({ status: 503 });
    await facade.ended;
    expect(performance.now() - began).toBeLessThan(5_000);
    expect(monolith.seen).toEqual([]);
  });

  test('follows the states: each phase takes traffic where the table says', async () => {
    const monolith = await side('monolith');
    const service = await side('service');
    const facade = await run(monolith, service, 'phases').started;
    const answered = async (path: string, method = 'GET'): Promise<unknown> =>
      (JSON.parse((await call(facade.url + path, { method })).body) as { by: unknown }).by;
    const table = [
      ['monolith', 'monolith', 'monolith'],
      ['sync', 'monolith', 'monolith'],
      ['canary', 'service', 'monolith'],
      ['cutover', 'service', 'service'],
    ] as const;
    for (const [phase, read, write] of table) {
      const version = await change({ phase, weight: phase === 'canary' ? 100 : 0 });
      await eventually(`${phase} to be acknowledged`, async () => {
        const { live, silent } = await new Replicas(control).acknowledged('catalog', version, 0);
        return live.length === 1 && silent.length === 0;
      });
      expect([
        phase,
        await answered('/api/products'),
        await answered('/api/products/1', 'PUT'),
      ]).toEqual([phase, read, write]);
      expect(await answered('/orders', 'POST')).toBe('monolith');
    }
  });

  test('shows a client its own write, also through another replica, until the service has it', async () => {
    const monolith = await side('monolith');
    const service = await side('service');
    const [one, other] = await Promise.all([
      run(monolith, service, 'own-1', { tables: true }).started,
      run(monolith, service, 'own-2', { tables: true }).started,
    ]);
    const evidence = new Evidence(control);
    const report = (watermark: Date): Promise<void> =>
      evidence.reportFlow({
        capability: 'catalog',
        direction: 'to',
        status: 'streaming',
        errorCode: null,
        error: null,
        position: null,
        watermark: watermark.toISOString(),
        lagP50Ms: null,
        lagP99Ms: null,
        applied: 0,
        backfill: null,
        parked: 0,
      });
    await report(await evidence.now());
    await change({ phase: 'canary', weight: 100 });
    const readAt = async ({ url }: Running, headers = {}): Promise<unknown> =>
      (JSON.parse((await call(`${url}/api/products`, { headers })).body) as { by: unknown }).by;
    for (const replica of [one, other])
      await eventually('canary', async () => (await readAt(replica)) === 'service');
    const reply = await call(`${one.url}/api/products`, { method: 'POST', body: 'w' });
    const set = reply.headers['set-cookie']?.find((line) => line.startsWith('banyan_wrote_'));
    const cookie = set?.split(';', 1)[0] ?? '';
    expect(cookie).not.toBe('');
    for (const replica of [one, other]) expect(await readAt(replica, { cookie })).toBe('monolith');
    await report(new Date((await evidence.now()).getTime() + 1_000));
    for (const replica of [one, other])
      await eventually('the service to have it', async () => {
        return (await readAt(replica, { cookie })) === 'service';
      });
  });

  test('walks a switch: holds, acknowledges when the last write has ended, releases to the new owner', async () => {
    const monolith = await side('monolith');
    const service = await side('service');
    monolith.waits = true;
    const facade = await run(monolith, service, 'switch').started;
    const replicas = new Replicas(control);
    const post = (body: string): Promise<Reply> =>
      call(`${facade.url}/api/products`, { method: 'POST', body });
    const first = post('first');
    await eventually('the first to be in flight', () => monolith.pending.length === 1);
    const holding = await change({ phase: 'canary', holding: true });
    const states = async (): Promise<
      { version: number; writes: { waiting: number } } | undefined
    > => {
      const { body } = await call(`${facade.adminUrl}/state`);
      return (
        JSON.parse(body) as { capabilities: { version: number; writes: { waiting: number } }[] }
      ).capabilities[0];
    };
    await eventually('the hold to be seen', async () => (await states())?.version === holding);
    const second = post('second');
    await eventually('the second to wait', async () => (await states())?.writes.waiting === 1);
    expect((await replicas.acknowledged('catalog', holding, 0)).silent).toEqual(['switch']);
    monolith.pending[0]?.end('{}');
    expect(await first).toMatchObject({ status: 200 });
    await eventually('the acknowledgement', async () => {
      return (await replicas.acknowledged('catalog', holding, 0)).silent.length === 0;
    });
    await change({ phase: 'cutover', holding: false });
    expect(await second).toMatchObject({ status: 200, body: '{"by":"service"}' });
    expect(monolith.seen).toEqual(['POST /api/products first']);
    expect(service.seen).toEqual(['POST /api/products second']);
  });

  test('under load, moving through every phase and back fails no request', async () => {
    const monolith = await side('monolith');
    const service = await side('service');
    const replicas = new Replicas(control);
    const facades = await Promise.all(
      ['one', 'two'].map((id) => run(monolith, service, id).started),
    );
    let over = false;
    const sent: string[] = [];
    const load = Promise.all(
      Array.from({ length: 8 }, async (_, client) => {
        const statuses: number[] = [];
        for (let nth = 0; !over; nth++) {
          const { url } = facades[(client + nth) % 2] as Running;
          const body = `${client}-${nth}`;
          sent.push(body);
          const replies = await Promise.all([
            call(`${url}/api/products`, { method: 'POST', body }),
            call(`${url}/api/products/${nth}`),
            call(`${url}/orders`),
          ]);
          statuses.push(...replies.map((reply) => reply.status));
        }
        return statuses;
      }),
    );
    const walk: StateChange[] = [
      { phase: 'sync' },
      { phase: 'shadow' },
      { phase: 'canary', weight: 10 },
      { weight: 50 },
      { holding: true },
      { phase: 'cutover', holding: false },
      { holding: true },
      { phase: 'canary', weight: 0, holding: false },
      { phase: 'shadow' },
      { phase: 'sync' },
      { phase: 'monolith' },
    ];
    for (const step of walk) {
      const version = await change(step);
      await eventually('both replicas to acknowledge', async () => {
        const { live, silent } = await replicas.acknowledged('catalog', version, 0);
        return live.length === 2 && silent.length === 0;
      });
    }
    over = true;
    expect(new Set((await load).flat())).toEqual(new Set([200]));
    const writes = [...monolith.seen, ...service.seen].filter((line) => line.startsWith('POST'));
    expect(writes.sort()).toEqual(sent.map((body) => `POST /api/products ${body}`).sort());
    expect(service.seen.some((line) => line.startsWith('POST'))).toBe(true);
  });

  test('stores what shadow copies told', async () => {
    const monolith = await side('monolith');
    const service = await side('service');
    const facade = await run(monolith, service, 'shadow').started;
    const version = await change({ phase: 'shadow' });
    await eventually('the phase', async () => {
      return (await new Replicas(control).acknowledged('catalog', version, 0)).silent.length === 0;
    });
    await call(`${facade.url}/api/products/7`);
    const evidence = new Evidence(control);
    await eventually(
      'the figures',
      async () => (await evidence.shadow('catalog')).samples.length > 0,
    );
    const found = await evidence.shadow('catalog');
    expect(found.samples).toEqual([
      {
        capability: 'catalog',
        route: 'GET /api/products/:id',
        compared: 1,
        mismatched: 1,
        dropped: 0,
        undecided: 0,
        noise: 0,
      },
    ]);
    expect(found.mismatches).toMatchObject([
      {
        path: 'by',
        example: { url: '/api/products/7', control: 'monolith', candidate: 'service' },
      },
    ]);
    const metrics = (await call(`${facade.adminUrl}/metrics`)).body;
    expect(metrics).toContain(
      'banyan_shadow_compared_total{capability="catalog",result="mismatched"} 1',
    );
  });

  test('stops by finishing what it has begun: readiness off, no new connection, then it leaves', async () => {
    const monolith = await side('monolith');
    monolith.waits = true;
    const facade = await run(monolith, monolith, 'drain').started;
    const last = call(`${facade.url}/api/products`, { method: 'POST', body: 'x' });
    await eventually('it to be in flight', () => monolith.pending.length === 1);
    facade.stop.abort();
    await eventually('readiness to go off', async () => {
      return (await statusOf(`${facade.adminUrl}/readyz`)) === 503;
    });
    expect(await statusOf(`${facade.url}/x`)).toBe(0);
    expect((await new Replicas(control).acknowledged('catalog', 0, 0)).live).toEqual(['drain']);
    monolith.pending[0]?.end('{}');
    expect(await last).toMatchObject({ status: 200 });
    await facade.ended;
    expect((await new Replicas(control).acknowledged('catalog', 0, 0)).live).toEqual([]);
    expect(await statusOf(`${facade.adminUrl}/healthz`)).toBe(0);
  });

  test('told to stop, it says so first and serves on until whoever sends traffic has seen it', async () => {
    const [monolith, service] = [await side('monolith'), await side('service')];
    const { url, adminUrl, stop, ended } = await run(monolith, service, 'r1', {
      drain: { delayMs: 1_500 },
    }).started;
    expect(await statusOf(`${adminUrl}/readyz`)).toBe(200);
    stop.abort();
    expect(await statusOf(`${adminUrl}/readyz`)).toBe(503);
    expect(await call(`${url}/api/products`)).toMatchObject({ status: 200 });
    await ended;
    expect(await statusOf(`${url}/api/products`)).toBe(0);
  });

  test('serves on with the last known state when the control database is gone', async () => {
    const monolith = await side('monolith');
    const service = await side('service');
    const lost = await createControl();
    const other = openControl(lost.url);
    const before = await new StateStore(other).readOne('catalog');
    await new StateStore(other).change(before, { phase: 'cutover' }, MOVE);
    const facade = await run(monolith, service, 'lost', { controlUrl: lost.url }).started;
    await other.destroy();
    await lost.drop();
    for (let nth = 0; nth < 20; nth++)
      expect(await call(`${facade.url}/api/products/${nth}`)).toMatchObject({
        body: '{"by":"service"}',
      });
    expect(await statusOf(`${facade.adminUrl}/readyz`)).toBe(200);
  });
});
