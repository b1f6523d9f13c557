// An edge that has lost the control database, and nothing else: a switch goes on without it, and what it still
// forwards by what it last knew is refused by the fence; where it knew of a hold, it forwards nothing.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { request } from 'undici';
import { Replicas } from '../control/replicas.ts';
import { withClient } from '../core/postgres/connect.ts';
import { createLogger } from '../core/log.ts';
import { waitFor } from '../core/lifecycle.ts';
import { facadePart } from '../facade/server.ts';
import { createPair, SESSION, type Pair } from './support/pair.ts';
import { startProxy, type Proxy } from './support/proxy.ts';
import { SHELF, startApp, type App } from './support/switching/apps.ts';
import { advanceTo, noteClean, startSync, streaming, type RunningSync } from './support/sync.ts';

let pair: Pair;
let sync: RunningSync;
let proxy: Proxy;
let apps: App[];
let url: string;
let stopEdge: () => Promise<void>;

beforeEach(async () => {
  pair = await createPair(SHELF);
  sync = startSync(pair);
  proxy = await startProxy(port());
  const monolith = await startApp('monolith', pair.monolithAppUrl);
  const service = await startApp('service', pair.serviceAppUrl);
  apps = [monolith, service];
  const stop = new AbortController();
  const listening = Promise.withResolvers<string>();
  const { migration } = pair;
  const hold = { ...migration.facade.hold, timeoutMs: 1_000 };
  const ended = facadePart({
    migration: { ...migration, facade: { ...migration.facade, hold } },
    upstreams: { monolith: monolith.url, services: { catalog: service.url } },
    controlUrl: proxy.through(pair.controlUrl),
    replicaId: 'cut off',
    data: { host: '127.0.0.1', port: 0 },
    admin: { host: '127.0.0.1', port: 0 },
    log: createLogger({}, 'silent'),
    onListening: (at) => {
      listening.resolve(at.url);
    },
  }).run(stop.signal, () => undefined);
  stopEdge = async () => {
    proxy.lead(port());
    stop.abort();
    await ended;
  };
  url = await listening.promise;
  await advanceTo(pair, 'canary');
  await streaming(pair, 'to');
  await streaming(pair, 'back');
  await noteClean(pair);
});

afterEach(async () => {
  await stopEdge();
  for (const app of apps) await app.close();
  await proxy.close();
  await sync.stop();
  await pair.close();
});

function port(): number {
  return Number(new URL(pair.controlUrl).port);
}

async function write(id: number): Promise<{ status: number; body: string }> {
  const { statusCode, body } = await request(`${url}/api/items/${id}`, { method: 'POST' });
  return { status: statusCode, body: await body.text() };
}

/** Numbers of the items of each side. */
async function items(): Promise<{ monolith: number[]; service: number[] }> {
  const of = (at: string, table: string): Promise<number[]> =>
    withClient(at, SESSION, async (client) => {
      const { rows } = await client.query<{ id: number }>(
        `SELECT id::int AS id FROM ${table} ORDER BY id`,
      );
      return rows.map(({ id }) => id);
    });
  return {
    monolith: await of(pair.monolithAppUrl, 'item'),
    service: await of(pair.serviceAppUrl, 'thing'),
  };
}

test('a switch goes on without it, the fence refuses its writes, and once it is back they go to the new owner', async () => {
  expect(await write(1)).toMatchObject({ status: 200, body: '1 by the monolith' });
  proxy.silence('all');
  await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
  expect(await pair.store.readOne('catalog')).toMatchObject({ phase: 'cutover', holding: false });
  const refused = await write(2);
  expect(refused.status).toBe(409);
  expect(refused.body).toContain('service "catalog"');
  expect(await items()).toEqual({ monolith: [1], service: [1] });
  proxy.restore();
  proxy.lead(port());
  await waitFor(async () => (await write(3)).body === '3 by the service', {
    ...{ timeoutMs: 30_000, everyMs: 200, what: 'it to know the new owner' },
  });
  await waitFor(async () => (await items()).monolith.includes(3), {
    ...{ timeoutMs: 30_000, what: 'the write to come back' },
  });
  expect(await items()).toEqual({ monolith: [1, 3], service: [1, 3] });
});

test('one that knew of the hold forwards no write to anybody, and refuses those that wait', async () => {
  const entry = { who: 'test', event: 'hold', why: '', evidence: {} };
  const { version } = await pair.store.change(
    await pair.store.readOne('catalog'),
    { holding: true },
    entry,
  );
  const heard = `SELECT 1 FROM banyan.replica_ack WHERE capability = 'catalog' AND version >= ?`;
  await waitFor(
    async () => (await pair.db.raw<{ rows: unknown[] }>(heard, [version])).rows.length > 0,
    { timeoutMs: 30_000, what: 'it to hold' },
  );
  proxy.silence('all');
  const replicas = new Replicas(pair.db);
  await waitFor(async () => (await replicas.acknowledged('catalog', 0, 0)).live.length === 0, {
    ...{ timeoutMs: 30_000, what: 'its lease to run out' },
  });
  expect(await write(1)).toMatchObject({ status: 503 });
  // Let go by now, for all that it knows it is held still.
  await pair.store.change(await pair.store.readOne('catalog'), { holding: false }, entry);
  expect(await write(2)).toMatchObject({ status: 503 });
  expect(await items()).toEqual({ monolith: [], service: [] });
});
