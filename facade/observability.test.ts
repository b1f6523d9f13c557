import {
  InMemorySpanExporter,
  ParentBasedSampler,
  SimpleSpanProcessor,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { IncomingHttpHeaders } from 'node:http';
import { serveEdge, type TestEdge, type TestEdgeOptions } from '../test/support/edge.ts';
import { call, eventually, json, serve } from '../test/support/http.ts';
import { defineMigration } from '../control/define.ts';
import type { Migration } from '../control/definition.ts';
import { createLogger } from '../core/log.ts';
import { createAccessLog } from './access-log.ts';
import { parseTraceParent } from './domain/trace.ts';
import { compileRoutes, type Match } from './domain/routes.ts';
import { createShadow, type Shadow } from './shadow.ts';
import { Tally } from './tally.ts';
import { createTracing } from './tracing.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function keep<T extends { close(): Promise<void> }>(made: Promise<T>): Promise<T> {
  const one = await made;
  open.push(one);
  return one;
}

interface Scene {
  readonly edge: TestEdge;
  /** Fields of what arrived upstream. */
  readonly arrived: IncomingHttpHeaders[];
  readonly spans: InMemorySpanExporter;
}

function tracer(sample: number): { spans: InMemorySpanExporter; provider: TracerProvider } {
  const spans = new InMemorySpanExporter();
  const provider = new TracerProvider({
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(sample) }),
    spanProcessors: [new SimpleSpanProcessor({ exporter: spans })],
  });
  return { spans, provider };
}

/** Shadow copies of one capability without tables. */
function shadowTo(service: string): { migration: Migration; shadow: Shadow } {
  const migration = defineMigration({
    monolith: { upstream: service },
    services: { catalog: { upstream: service } },
    capabilities: { catalog: { service: 'catalog', routes: ['/api/products'] } },
  });
  const shadow = createShadow({
    migration,
    upstreams: { monolith: service, services: { catalog: service } },
    tally: new Tally({ evidence: { addShadow: () => Promise.resolve() }, log: QUIET }),
    clock: { caughtUp: () => Promise.resolve(true) },
    log: QUIET,
    // Clients, edge and upstreams share this process: it has no time to spare.
    freeMs: () => performance.now(),
    version: () => 1,
  });
  open.push(shadow);
  return { migration, shadow };
}

const QUIET = createLogger({}, 'silent');

function matchOf({ capabilities }: Migration): Match {
  const match = compileRoutes(capabilities).match('GET', ['api', 'products']);
  if (!match) throw new Error('the route is there');
  return match;
}

async function scene(sample: number, options: Partial<TestEdgeOptions> = {}): Promise<Scene> {
  const arrived: IncomingHttpHeaders[] = [];
  let resets = 0;
  const upstream = await keep(
    serve((req, res) => {
      arrived.push(req.headers);
      if (req.url === '/api/products/2' && resets++ === 0) req.socket.resetAndDestroy();
      else json({}, req.url === '/fails' ? 500 : 200)(req, res);
    }),
  );
  const { spans, provider } = tracer(sample);
  const edge = await keep(
    serveEdge({
      monolith: upstream.url,
      tracing: createTracing(provider.getTracer('test')),
      ...options,
    }),
  );
  return { edge, arrived, spans };
}

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';

describe('a trace', () => {
  test('goes on from the client’s span over the edge’s to the upstream', async () => {
    const { edge, arrived, spans } = await scene(0);
    await call(`${edge.url}/api/products/1?secret=s`, {
      headers: { traceparent: `00-${TRACE}-${SPAN}-01`, tracestate: 'v=1' },
    });
    const finished = spans.getFinishedSpans();
    const server = finished.find((span) => span.name === 'GET /api/products/:id');
    const client = finished.find((span) => span.name === 'GET');
    expect(finished).toHaveLength(2);
    expect(server?.parentSpanContext?.spanId).toBe(SPAN);
    expect(client?.parentSpanContext?.spanId).toBe(server?.spanContext().spanId);
    expect(parseTraceParent(arrived[0]?.['traceparent']?.toString())).toEqual({
      traceId: TRACE,
      spanId: client?.spanContext().spanId,
      sampled: true,
    });
    expect(arrived[0]?.['tracestate']).toBe('v=1');
    expect(server?.attributes).toMatchObject({
      'http.request.method': 'GET',
      'http.route': '/api/products/:id',
      'http.response.status_code': 200,
      'url.path': '/api/products/1',
      'banyan.capability': 'catalog',
      'banyan.phase': 'monolith',
      'banyan.path': 'monolith',
    });
    expect(client?.attributes).toMatchObject({ 'http.response.status_code': 200 });
  });

  test('has a span for each attempt', async () => {
    const { edge, spans } = await scene(1);
    expect(await call(`${edge.url}/api/products/2`)).toMatchObject({ status: 200 });
    const legs = spans.getFinishedSpans().filter((span) => span.name === 'GET');
    expect(legs.map((span) => span.attributes['http.request.resend_count'])).toEqual([0, 1]);
    expect(new Set(legs.map((span) => span.spanContext().traceId)).size).toBe(1);
  });

  test('that begins here takes nothing of a context that cannot be read', async () => {
    const { edge, arrived, spans } = await scene(1);
    await call(`${edge.url}/api/products/1`, {
      headers: { traceparent: 'garbled', tracestate: 'v=1' },
    });
    expect(spans.getFinishedSpans()).toHaveLength(2);
    expect(arrived[0]).toMatchObject({ traceparent: expect.stringMatching(/^00-/) });
    expect(arrived[0]).not.toHaveProperty('tracestate');
  });

  test.each([
    ['that the client does not sample', `00-${TRACE}-${SPAN}-00`],
    ['whose parent is garbled and that is not sampled here', 'garbled'],
  ])('%s is passed on untouched', async (_, traceparent) => {
    const { edge, arrived, spans } = await scene(0);
    await call(`${edge.url}/api/products/1`, { headers: { traceparent } });
    expect(arrived[0]?.['traceparent']).toBe(traceparent);
    expect(spans.getFinishedSpans()).toEqual([]);
  });

  test('has the shadow copy in it, with its verdict', async () => {
    const { spans, provider } = tracer(1);
    const legs = createTracing(provider.getTracer('test'));
    const trace = legs(
      {
        method: 'GET',
        path: '/x',
        requestId: 'r',
        startedAt: performance.now(),
        traceparent: undefined,
      },
      undefined,
      undefined,
    );
    const copies: IncomingHttpHeaders[] = [];
    const service = await keep(
      serve((req, res) => {
        copies.push(req.headers);
        json({ wrong: 1 })(req, res);
      }),
    );
    const { migration, shadow } = shadowTo(service.url);
    const tap = shadow.begin(matchOf(migration), () => ({
      method: 'GET',
      target: '/api/products',
      headers: ['host', 'a'],
      trace,
    }));
    tap?.head(200, ['content-type', 'application/json']);
    tap?.data(Buffer.from('{"wrong":1}'));
    tap?.end();
    await eventually('the verdict', () => spans.getFinishedSpans().length === 1);
    const [copy] = spans.getFinishedSpans();
    expect(copy?.attributes).toMatchObject({
      'banyan.shadow': true,
      'banyan.shadow.verdict': 'matched',
      'http.request.method': 'GET',
    });
    expect(copy?.spanContext().traceId).toBe(trace?.id);
    expect(parseTraceParent(copies[0]?.['traceparent']?.toString())?.spanId).toBe(
      copy?.spanContext().spanId,
    );
  });

  test('is not begun for what an application answers itself', async () => {
    const monolith = await keep(serve(json({ by: 'the monolith' })));
    let begun = 0;
    const edge = await keep(
      serveEdge({
        monolith: monolith.url,
        tracing: () => {
          begun += 1;
          return undefined;
        },
      }),
    );
    const embedded = await keep(
      serve((req, res) => {
        edge.edge.handle(req, res, () => {
          json({ by: 'the application' })(req, res);
        });
      }),
    );
    expect(await call(`${embedded.url}/own`)).toMatchObject({ body: '{"by":"the application"}' });
    expect(begun).toBe(0);
    await call(`${embedded.url}/api/products`);
    expect(begun).toBe(1);
  });

  test('of a write that waited says how long', async () => {
    const { edge, spans } = await scene(1);
    edge.set({ holding: true });
    const held = call(`${edge.url}/api/products`, { method: 'POST', body: 'x' });
    await eventually('it to wait', () => edge.holds.figures('catalog').waiting === 1);
    const until = performance.now() + 20;
    await eventually('some time to pass', () => performance.now() > until);
    edge.set({ holding: false });
    await held;
    const server = spans.getFinishedSpans().find((span) => span.name === 'POST /api/products');
    expect(server?.attributes['banyan.held_ms']).toBeGreaterThanOrEqual(19);
  });
});

describe('the access log', () => {
  async function logging(
    sample: number,
    options: Partial<TestEdgeOptions> = {},
  ): Promise<{ edge: TestEdge; lines: Record<string, unknown>[] }> {
    const lines: Record<string, unknown>[] = [];
    const log = {
      info: ({ message, ...fields }: Record<string, unknown>) => {
        expect(message).toBe('request');
        lines.push(JSON.parse(JSON.stringify(fields)) as Record<string, unknown>);
      },
    };
    const { edge } = await scene(0, {
      ...options,
      accessLog: createAccessLog(log as never, sample),
    });
    return { edge, lines };
  }

  test('has one line for a request, without its secrets', async () => {
    const { edge, lines } = await logging(1, { trusts: () => true });
    await call(`${edge.url}/api/products/1;jsessionid=SECRET?token=SECRET`, {
      headers: {
        authorization: 'SECRET',
        cookie: 'a=SECRET',
        'x-request-id': 'id-1',
        'user-agent': 'curl',
        traceparent: `00-${TRACE}-${SPAN}-00`,
      },
    });
    await eventually('the line', () => lines.length === 1);
    expect(JSON.stringify(lines)).not.toContain('SECRET');
    expect(lines[0]).toEqual({
      method: 'GET',
      path: '/api/products/1',
      status: 200,
      ms: expect.any(Number),
      bytes: 2,
      capability: 'catalog',
      route: 'GET /api/products/:id',
      to: 'monolith',
      version: 1,
      requestId: 'id-1',
      traceId: TRACE,
      client: '127.0.0.1',
      userAgent: 'curl',
    });
  });

  test('names the client that a trusted proxy names, and nobody whom a stranger does', async () => {
    for (const [trusts, client] of [
      [() => true, '203.0.113.9'],
      [undefined, '127.0.0.1'],
    ] as const) {
      const { edge, lines } = await logging(1, { trusts });
      await call(`${edge.url}/x`, { headers: { 'x-forwarded-for': '203.0.113.9' } });
      await eventually('the line', () => lines.length === 1);
      expect(lines[0]?.['client']).toBe(client);
    }
  });

  test('shows retries, and why the edge answered by itself', async () => {
    const { edge, lines } = await logging(1);
    await call(`${edge.url}/api/products/2`);
    edge.edge.drain();
    edge.set({ holding: true });
    await call(`${edge.url}/api/products`, { method: 'POST', body: 'x' });
    await eventually('both lines', () => lines.length === 2);
    expect(lines[0]).toMatchObject({ retries: 1, status: 200 });
    expect(lines[1]).toMatchObject({ status: 503, to: 'none', why: 'closing' });
  });

  test('samples by request id, and has the answers of 500 and above, ten a second', async () => {
    const { edge, lines } = await logging(0.25, { trusts: () => true });
    for (let nth = 0; nth < 100; nth++)
      await call(`${edge.url}/x`, { headers: { 'x-request-id': `r-${nth}` } });
    const allAreLogged = (): Promise<void> =>
      eventually('the last to be logged', () => edge.edge.inFlight() === 0);
    await allAreLogged();
    const first = lines.map((line) => line['requestId']);
    expect(first.length).toBeGreaterThan(10);
    expect(first.length).toBeLessThan(45);
    lines.length = 0;
    for (let nth = 0; nth < 100; nth++)
      await call(`${edge.url}/x`, { headers: { 'x-request-id': `r-${nth}` } });
    await allAreLogged();
    expect(lines.map((line) => line['requestId'])).toEqual(first);
    lines.length = 0;
    const unsampled = Array.from({ length: 100 }, (_, nth) => `r-${nth}`).filter(
      (id) => !first.includes(id),
    );
    const began = performance.now();
    for (const id of unsampled.slice(0, 50))
      await call(`${edge.url}/fails`, { headers: { 'x-request-id': id } });
    await allAreLogged();
    const seconds = Math.ceil((performance.now() - began) / 1_000) + 1;
    expect(lines.every((line) => line['status'] === 500)).toBe(true);
    expect(lines.length).toBeGreaterThanOrEqual(10);
    expect(lines.length).toBeLessThanOrEqual(Math.min(50, seconds * 10));
  });
});

describe('metrics', () => {
  test('latencies are cumulative buckets that add up', async () => {
    const { edge } = await scene(0);
    for (let nth = 0; nth < 20; nth++) await call(`${edge.url}/api/products/1`);
    const text = await edge.metrics.registry.metrics();
    const labels = 'capability="catalog",path="monolith"';
    const buckets = [
      ...text.matchAll(
        /duration_seconds_bucket\{le="([^"]+)",capability="catalog",path="monolith"\} (\d+)/g,
      ),
    ];
    expect(buckets.map(([, le]) => le).at(-1)).toBe('+Inf');
    const counts = buckets.map(([, , count]) => Number(count));
    expect(counts).toEqual([...counts].sort((a, b) => a - b));
    expect(counts.at(-1)).toBe(20);
    expect(text).toContain(`banyan_request_duration_seconds_count{${labels}} 20`);
    expect(text).toMatch(/banyan_request_duration_seconds_sum\{[^}]*path="monolith"\} \d+\.\d+/);
  });

  test('tell retries, refusals by reason, held writes and breakers', async () => {
    const { edge } = await scene(0, {
      sheds: (priority) => priority === 'low',
      routes: [
        { path: '/api/products', priority: 'low', methods: ['GET'] },
        { path: '/api/products/:id' },
      ],
    });
    await call(`${edge.url}/api/products/2`);
    await call(`${edge.url}/api/products`);
    edge.set({ holding: true });
    const held = call(`${edge.url}/api/products/1`, { method: 'PUT', body: 'x' });
    await eventually('it to wait', () => edge.holds.figures('catalog').waiting === 1);
    edge.set({ holding: false });
    await held;
    const text = await edge.metrics.registry.metrics();
    expect(text).toContain('banyan_retries_total 1');
    expect(text).toContain('banyan_refused_total{reason="overloaded"} 1');
    expect(text).toContain('banyan_held_seconds_count 1');
    expect(text).toContain('banyan_breaker_state{path="monolith",route="GET /api/products/:id"} 0');
    expect(text).toMatch(/banyan_state_version\{capability="catalog"\} 3/);
  });
});
