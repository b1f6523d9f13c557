// What a team writes under `facade` and `canary` is what the running facade goes by: the whole of it, over
// the wire, for each setting is handed on through several files.
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import {
  InMemorySpanExporter,
  SimpleSpanProcessor,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { Knex } from 'knex';
import { WebSocket } from 'ws';
import { defineMigration } from '../control/define.ts';
import type { MigrationInput } from '../control/definition.ts';
import { openControl, StateStore, type StateChange } from '../control/store.ts';
import { createLogger, type Logger } from '../core/log.ts';
import { call, eventually, json, serve, serveSide } from '../test/support/http.ts';
import { createControl, type TestDatabase } from '../test/support/postgres.ts';
import { serveEcho } from '../test/support/tunnels.ts';
import type { EngineOptions } from './engine.ts';
import { facadePart } from './server.ts';

let database: TestDatabase;
let control: Knex;
const open: { close(): Promise<void> | void }[] = [];

beforeAll(async () => {
  database = await createControl();
  control = openControl(database.url);
});

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
  await control.raw('TRUNCATE banyan.capability, banyan.replica CASCADE');
});

afterAll(async () => {
  await control.destroy();
  await database.drop();
});

interface Running {
  readonly url: string;
  readonly port: number;
  readonly metrics: () => Promise<string>;
}

async function run(
  upstreams: { readonly monolith: string; readonly service: string },
  {
    facade,
    routes,
    canary,
  }: Pick<MigrationInput, 'facade'> & Partial<MigrationInput['capabilities'][string]>,
  more: Partial<EngineOptions> = {},
): Promise<Running> {
  const migration = defineMigration({
    monolith: { upstream: upstreams.monolith },
    services: { catalog: { upstream: upstreams.service } },
    facade: { shedding: false, ...facade },
    capabilities: {
      catalog: { service: 'catalog', routes: routes ?? ['/api/:id'], ...(canary && { canary }) },
    },
  });
  const stop = new AbortController();
  const listening = Promise.withResolvers<{ url: string; adminUrl: string }>();
  const ended = facadePart({
    migration,
    upstreams: { monolith: upstreams.monolith, services: { catalog: upstreams.service } },
    controlUrl: database.url,
    replicaId: 'one',
    data: { host: '127.0.0.1', port: 0 },
    admin: { host: '127.0.0.1', port: 0 },
    log: createLogger({}, 'silent'),
    onListening: listening.resolve,
    ...more,
  }).run(stop.signal, () => undefined);
  ended.catch(listening.reject);
  open.push({
    close: async () => {
      stop.abort();
      await ended;
    },
  });
  const { url, adminUrl } = await listening.promise;
  return {
    url,
    port: Number(new URL(url).port),
    metrics: async () => (await call(`${adminUrl}/metrics`)).body,
  };
}

async function change(to: StateChange): Promise<void> {
  const store = new StateStore(control);
  const move = { who: 'test', event: 'advance', why: '', evidence: {} };
  await store.change(await store.readOne('catalog'), to, move);
}

async function keep<T extends { close(): Promise<void> | void }>(made: Promise<T>): Promise<T> {
  const one = await made;
  open.push(one);
  return one;
}

test('the server opens tunnels', async () => {
  const echo = await serveEcho('monolith');
  const { port } = await run({ monolith: echo.url, service: echo.url }, {});
  const client = new WebSocket(`ws://127.0.0.1:${port}/live`);
  const said = new Promise((resolve) => {
    client.on('message', (text: Buffer) => {
      resolve(text.toString());
    });
  });
  await new Promise((resolve) => client.once('open', resolve));
  client.send('hello');
  expect(await said).toBe('monolith hello');
  client.terminate();
});

test.each([
  [['loopback'], 'given', '203.0.113.9, 127.0.0.1'],
  [[], expect.not.stringMatching('given'), '127.0.0.1'],
] as const)('trustedProxies %j', async (trustedProxies, id, client) => {
  const arrived: NodeJS.Dict<string | string[]>[] = [];
  const side = await keep(
    serve((req, res) => {
      arrived.push(req.headers);
      json({})(req, res);
    }),
  );
  const { url } = await run(
    { monolith: side.url, service: side.url },
    { facade: { trustedProxies: [...trustedProxies] } },
  );
  await call(`${url}/x`, {
    headers: { 'x-forwarded-for': '203.0.113.9', 'x-request-id': 'given' },
  });
  expect(arrived[0]).toMatchObject({ 'x-forwarded-for': client, 'x-request-id': id });
});

test('a rule on what only a trusted proxy may say', async () => {
  const [monolith, service] = [await keep(serveSide('monolith')), await keep(serveSide('service'))];
  const rules = [{ header: 'X-Forwarded-User', matches: '^tester$', to: 'service' as const }];
  const [near, far] = [
    await run(
      { monolith: monolith.url, service: service.url },
      { facade: { trustedProxies: ['loopback'] }, canary: { rules } },
    ),
    await run({ monolith: monolith.url, service: service.url }, { canary: { rules } }),
  ];
  await change({ phase: 'canary', weight: 0 });
  const by = async ({ url }: Running): Promise<string> =>
    (await call(`${url}/api/1`, { headers: { 'x-forwarded-user': 'tester' } })).body;
  await eventually('the service to be asked', async () => (await by(near)).includes('service'));
  expect(await by(far)).toContain('monolith');
});

test('a rule on the query', async () => {
  const [monolith, service] = [await keep(serveSide('monolith')), await keep(serveSide('service'))];
  const { url } = await run(
    { monolith: monolith.url, service: service.url },
    { canary: { rules: [{ query: 'beta', matches: '^1$', to: 'service' }] } },
  );
  await change({ phase: 'canary', weight: 0 });
  await eventually('the service to be asked', async () => {
    return (await call(`${url}/api/1?a=b&beta=1`)).body.includes('service');
  });
  for (const query of ['', '?beta=2', '?a=beta%3D1', '?beta'])
    expect((await call(`${url}/api/1${query}`)).body).toContain('monolith');
  expect((await call(`${url}/api/1?bet%61=%31`)).body).toContain('service');
});

test('a route’s own deadline, and three seconds for the others', async () => {
  const silent = await keep(serve(() => undefined));
  const { url } = await run(
    { monolith: silent.url, service: silent.url },
    { routes: [{ path: '/api/fast', timeoutMs: 100 }, '/api/usual'] },
  );
  const timeOf = async (path: string): Promise<number> => {
    const began = performance.now();
    expect(await call(url + path)).toMatchObject({ status: 504 });
    return performance.now() - began;
  };
  const fast = await timeOf('/api/fast');
  expect(fast).toBeGreaterThan(95);
  const usual = await timeOf('/api/usual');
  expect(usual).toBeGreaterThan(2_990);
  expect(fast).toBeLessThan(usual);
});

test('access log', async () => {
  const side = await keep(serveSide('monolith'));
  const lines: unknown[] = [];
  const accessLog = {
    info: (...line: unknown[]) => {
      lines.push(line);
    },
  } as unknown as Pick<Logger, 'info'>;
  const both = { monolith: side.url, service: side.url };
  const facade = { accessLog: { sample: 1 }, trustedProxies: ['loopback', '10.0.0.0/8'] };
  const { url } = await run(both, { facade }, { accessLog });
  await call(`${url}/api/1`, { headers: { 'x-forwarded-for': '6.6.6.6, 203.0.113.9, 10.0.0.7' } });
  await eventually('the line', () => lines.length === 1);
  // Whom our outermost proxy saw, and not whom that one named.
  expect(JSON.stringify(lines[0])).toContain('"203.0.113.9"');
  const quiet = await run(both, {}, { accessLog, replicaId: 'two' });
  await call(`${quiet.url}/api/1`);
  expect(lines).toHaveLength(1);
});

test('a read and its shadow copy are in one trace', async () => {
  const side = await keep(serveSide('monolith'));
  const spans = new InMemorySpanExporter();
  const provider = new TracerProvider({
    spanProcessors: [new SimpleSpanProcessor({ exporter: spans })],
  });
  const { url } = await run(
    { monolith: side.url, service: side.url },
    { facade: { shadow: { cpu: 1 } } },
    { tracer: provider.getTracer('test') },
  );
  await change({ phase: 'shadow' });
  const copyOf = () =>
    spans.getFinishedSpans().find(({ attributes }) => attributes['banyan.shadow'] === true);
  await eventually('a copy', async () => {
    await call(`${url}/api/1`);
    return copyOf() !== undefined;
  });
  const traceId = copyOf()?.spanContext().traceId;
  const others = spans.getFinishedSpans().filter((span) => span.spanContext().traceId === traceId);
  expect(others.map(({ attributes }) => attributes['http.route'])).toContain('/api/:id');
});

test('an event loop that is late takes its time from copies first', async () => {
  const side = await keep(serveSide('monolith'));
  const { url, metrics } = await run(
    { monolith: side.url, service: side.url },
    { facade: { shedding: { delayMs: 10 }, shadow: { cpu: 1 } } },
  );
  await change({ phase: 'shadow' });
  await eventually('a copy to be shed', async () => {
    const until = performance.now() + 60;
    while (performance.now() < until) continue;
    await call(`${url}/api/1`);
    return /reason="shed"\} [1-9]/.test(await metrics());
  });
});

test('an open circuit is told', async () => {
  const side = await keep(serve(json({}, 503)));
  const { url, metrics } = await run(
    { monolith: side.url, service: side.url },
    { facade: { breaker: { minimumRequests: 3, openMs: 60_000, maxOpenMs: 60_000 } } },
  );
  await eventually('the circuit to open', async () => {
    return (await call(`${url}/api/1`)).body.includes('has not answered of late');
  });
  expect(await metrics()).toContain('banyan_breaker_state{path="monolith",route="GET /api/:id"} 2');
  // Of what nobody claims, one page says nothing of the others.
  for (let nth = 0; nth < 20; nth++)
    expect((await call(`${url}/page`)).body).not.toContain('has not answered of late');
});
