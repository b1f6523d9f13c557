import { afterEach, describe, expect, test } from '@jest/globals';
import { freePort } from '../core/free-port.ts';
import { serveEdge, type TestEdge, type TestEdgeOptions } from '../test/support/edge.ts';
import { call, eventually, json, readAll, serve, serveBytes, wire } from '../test/support/http.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function keep<T extends { close(): Promise<void> }>(made: Promise<T>): Promise<T> {
  const one = await made;
  open.push(one);
  return one;
}

const edgeOf = (options: TestEdgeOptions): Promise<TestEdge> => keep(serveEdge(options));

/** Resets the first `failures` connections once a whole head has come, answers with the body on later ones. */
async function failsFirst(
  failures: number,
): Promise<{ url: string; bodies: string[]; connections(): number }> {
  const bodies: string[] = [];
  let connections = 0;
  const server = await keep(
    serve((req, res) => {
      void readAll(req).then((body) => {
        bodies.push(body.toString());
        if (bodies.length <= failures) req.socket.resetAndDestroy();
        else json({ got: body.toString() })(req, res);
      });
    }),
  );
  server.server.on('connection', () => (connections += 1));
  return { url: server.url, bodies, connections: () => connections };
}

/** A port that nobody listens on. */
async function nobody(): Promise<string> {
  return `http://127.0.0.1:${await freePort()}`;
}

describe('a request that failed before its answer began', () => {
  test.each([
    ['GET', {}, 200],
    ['HEAD', {}, 200],
    ['PUT', {}, 200],
    ['DELETE', {}, 200],
    ['POST', { 'idempotency-key': 'k' }, 200],
    ['PATCH', { 'idempotency-key': 'k' }, 200],
    ['POST', {}, 502],
    ['PATCH', {}, 502],
  ])('%s with %j gets %i from an upstream that resets once', async (method, headers, status) => {
    const upstream = await failsFirst(1);
    const edge = await edgeOf({ monolith: upstream.url });
    const body = method === 'GET' || method === 'HEAD' ? undefined : 'the body';
    const reply = await call(`${edge.url}/x`, {
      method,
      headers: { ...headers, 'content-length': String(body?.length ?? 0) },
      ...(body ? { body } : {}),
    });
    expect(reply.status).toBe(status);
    expect(upstream.bodies).toEqual(
      Array.from({ length: status === 200 ? 2 : 1 }, () => body ?? ''),
    );
  });

  test('is sent again with its whole body, which came in pieces', async () => {
    const upstream = await failsFirst(2);
    const edge = await edgeOf({ monolith: upstream.url });
    const client = await wire(edge.port);
    client.send('PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n');
    client.send('4\r\n two\r\n');
    client.send('0\r\n\r\n');
    expect(await client.until(/\}/)).toContain('{"got":"one two"}');
    expect(upstream.bodies).toEqual(['one two', 'one two', 'one two']);
    client.socket.destroy();
  });

  test('is not sent again when its body was larger than what is kept', async () => {
    const upstream = await failsFirst(1);
    const edge = await edgeOf({ monolith: upstream.url, facade: { retry: { bodyBytes: 10 } } });
    const reply = await call(`${edge.url}/x`, { method: 'PUT', body: 'eleven byte' });
    expect(reply.status).toBe(502);
    expect(upstream.bodies).toHaveLength(1);
    expect(await call(`${edge.url}/x`, { method: 'PUT', body: 'ten bytes!' })).toMatchObject({
      status: 200,
    });
  });

  test('a claimed GET that its route calls a write is not sent again', async () => {
    const upstream = await failsFirst(1);
    const edge = await edgeOf({
      monolith: upstream.url,
      routes: [{ path: '/api/products', kind: 'write' }],
    });
    expect(await call(`${edge.url}/api/products`)).toMatchObject({ status: 502 });
    expect(upstream.bodies).toHaveLength(1);
  });

  test.each([
    ['that is for this hop only', { 'idempotency-key': 'k', connection: 'idempotency-key' }],
    ['that is empty', { 'idempotency-key': '' }],
  ])('a POST with a key %s is not sent again: its upstream sees none', async (_what, headers) => {
    const upstream = await failsFirst(1);
    const edge = await edgeOf({ monolith: upstream.url });
    const reply = await call(`${edge.url}/x`, { method: 'POST', headers, body: 'once' });
    expect(reply.status).toBe(502);
    expect(upstream.bodies).toEqual(['once']);
  });

  test('any method is sent again when no connection could be made', async () => {
    const edge = await edgeOf({ monolith: await nobody() });
    const reply = await call(`${edge.url}/x`, { method: 'POST', body: 'once' });
    expect(reply.status).toBe(502);
    expect(edge.troubles).toHaveLength(3);
    expect(edge.troubles.every((message) => message.includes('ECONNREFUSED'))).toBe(true);
  });

  test('retries are a share of the requests: an upstream that fails gets no storm', async () => {
    const upstream = await failsFirst(Infinity);
    const edge = await edgeOf({
      monolith: upstream.url,
      facade: { breaker: false, retry: { attempts: 5, budget: 0.1 } },
    });
    const began = performance.now();
    for (let nth = 0; nth < 100; nth++)
      expect(await call(`${edge.url}/x`)).toMatchObject({ status: 502 });
    // 100 requests, a tenth of them again, and the reserve of thirty in ten seconds.
    const reserves = 1 + Math.floor((performance.now() - began) / 9_000);
    expect(upstream.bodies.length).toBeGreaterThan(125);
    expect(upstream.bodies.length).toBeLessThanOrEqual(110 + 30 * reserves);
  });
});

describe('the circuit breaker', () => {
  const breaker = { minimumRequests: 5, openMs: 1_000, maxOpenMs: 1_000 };
  const facade = { breaker, retry: { attempts: 0 } };

  test('opens at the threshold, refuses at once, and closes by itself after a probe', async () => {
    let failing = true;
    let asked = 0;
    const upstream = await keep(
      serve((req, res) => {
        asked += 1;
        if (failing) req.socket.resetAndDestroy();
        else json({ ok: true })(req, res);
      }),
    );
    const edge = await edgeOf({
      monolith: upstream.url,
      facade: { ...facade, breaker: { ...breaker, openMs: 4_000, maxOpenMs: 4_000 } },
    });
    for (let nth = 0; nth < 5; nth++)
      expect(await call(`${edge.url}/api/products`)).toMatchObject({ status: 502 });
    const refused = await call(`${edge.url}/api/products`);
    expect(refused).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
    expect(asked).toBe(5);
    expect(edge.guards.figures()).toMatchObject([{ path: 'monolith', state: 'open' }]);
    // Another route of the same upstream is not concerned.
    expect(await call(`${edge.url}/elsewhere`)).toMatchObject({ status: 502 });
    failing = false;
    await eventually('a probe to close it', async () => {
      const { status } = await call(`${edge.url}/api/products`);
      return status === 200;
    });
    expect(edge.guards.figures()[0]).toMatchObject({ state: 'closed' });
  });

  test('only one request probes; the others are refused until it has told', async () => {
    let asked = 0;
    let release: (() => void) | undefined;
    const upstream = await keep(
      serve((req, res) => {
        asked += 1;
        if (asked <= 5) req.socket.resetAndDestroy();
        else
          release = () => {
            json({ ok: true })(req, res);
          };
      }),
    );
    const edge = await edgeOf({ monolith: upstream.url, facade });
    for (let nth = 0; nth < 5; nth++) await call(`${edge.url}/api/products`);
    const probes: Promise<{ status: number }>[] = [];
    await eventually('a probe', async () => {
      const sent = call(`${edge.url}/api/products`);
      probes.push(sent);
      await Promise.race([sent, eventually('it to arrive', () => asked === 6)]);
      return asked === 6;
    });
    expect(await call(`${edge.url}/api/products`)).toMatchObject({ status: 503 });
    expect(asked).toBe(6);
    release?.();
    expect(await probes.at(-1)).toMatchObject({ status: 200 });
  });

  test('a 500 is an answer, and a client that leaves says nothing of the upstream', async () => {
    let waiting = 0;
    const upstream = await keep(
      serve((req, res) => {
        if (req.url === '/api/products/hangs') waiting += 1;
        else json({ wrong: true }, 500)(req, res);
      }),
    );
    const edge = await edgeOf({ monolith: upstream.url, facade });
    for (let nth = 0; nth < 10; nth++)
      expect(await call(`${edge.url}/api/products`)).toMatchObject({ status: 500 });
    for (let nth = 1; nth <= 10; nth++) {
      const client = await wire(edge.port);
      client.send('GET /api/products/hangs HTTP/1.1\r\nHost: a\r\n\r\n');
      await eventually('it to arrive', () => waiting === nth);
      client.socket.destroy();
      await eventually('it to be counted out', () => edge.edge.inFlight() === 0);
    }
    expect(edge.guards.figures().map(({ state }) => state)).toEqual(['closed', 'closed']);
  });
});

describe('the bulkhead', () => {
  test('a route that hangs holds its share and no more; the rest goes on', async () => {
    const held: (() => void)[] = [];
    const upstream = await keep(
      serve((req, res) => {
        if (req.url === '/api/products')
          held.push(() => {
            json({ ok: true })(req, res);
          });
        else json({ ok: true })(req, res);
      }),
    );
    const edge = await edgeOf({ monolith: upstream.url, facade: { bulkhead: { route: 3 } } });
    const slow = Array.from({ length: 3 }, () => call(`${edge.url}/api/products`));
    await eventually('the route to be full', () => held.length === 3);
    expect(await call(`${edge.url}/api/products`)).toMatchObject({
      status: 503,
      headers: { 'retry-after': '1' },
    });
    expect(await call(`${edge.url}/api/products/1`)).toMatchObject({ status: 200 });
    for (const release of held) release();
    for (const reply of await Promise.all(slow)) expect(reply.status).toBe(200);
    const again = call(`${edge.url}/api/products`);
    await eventually('a place to be free again', () => held.length === 4);
    held[3]?.();
    expect(await again).toMatchObject({ status: 200 });
  });

  test('writes that waited for a switch are let go as the new owner takes them', async () => {
    const seen: string[] = [];
    const pending: (() => void)[] = [];
    const service = await keep(
      serve((req, res) => {
        void readAll(req).then((body) => {
          seen.push(body.toString());
          pending.push(() => {
            json({ by: 'service' })(req, res);
          });
        });
      }),
    );
    const edge = await edgeOf({
      monolith: service.url,
      service: service.url,
      facade: { bulkhead: { route: 2 } },
    });
    edge.set({ phase: 'canary', holding: true });
    const writes = Array.from({ length: 6 }, (_, nth) =>
      call(`${edge.url}/api/products`, { method: 'POST', body: String(nth) }),
    );
    await eventually('all to wait', () => edge.holds.figures('catalog').waiting === 6);
    edge.set({ phase: 'cutover', holding: false });
    for (let nth = 1; nth <= 6; nth++) {
      await eventually('the next write', () => seen.length >= nth);
      expect(seen.length).toBeLessThanOrEqual(nth + 1);
      pending[nth - 1]?.();
    }
    for (const reply of await Promise.all(writes)) expect(reply.status).toBe(200);
    expect(new Set(seen).size).toBe(6);
  });
});

describe('a read whose path fails', () => {
  const wrong: [string, () => Promise<string>][] = [
    ['refuses connections', nobody],
    ['resets', async () => (await failsFirst(Infinity)).url],
    ['answers 503', async () => (await keep(serve(json({}, 503)))).url],
    ['never answers', async () => (await keep(serve(() => undefined))).url],
    [
      'talks nonsense',
      async () => (await keep(serveBytes((socket) => socket.end('nonsense\r\n\r\n')))).url,
    ],
  ];
  const facade = { timeoutMs: 6_000, retry: { attempts: 0 } };
  const toService = { rules: [{ header: 'x-side', matches: 'service', to: 'service' as const }] };
  const headers = { 'x-side': 'service' };

  test.each(wrong)('is answered by the monolith in canary when the service %s', async (_, make) => {
    const monolith = await keep(serve(json({ by: 'monolith' })));
    const edge = await edgeOf({
      monolith: monolith.url,
      service: await make(),
      facade,
      canary: toService,
    });
    edge.set({ phase: 'canary' });
    const reply = await call(`${edge.url}/api/products`, { headers });
    expect(reply).toMatchObject({ status: 200, body: '{"by":"monolith"}' });
  });

  const fresh: TestEdgeOptions['freshness'] = { now: () => 10_000, watermark: () => 9_500 };
  const stale: TestEdgeOptions['freshness'] = { now: () => 10_000, watermark: () => 8_000 };

  const unknown: TestEdgeOptions['freshness'] = { now: () => 10_000, watermark: () => undefined };

  test.each([
    ['canary', 'monolith', fresh, 200],
    ['canary', 'monolith', stale, 502],
    ['canary', 'monolith', unknown, 502],
    ['shadow', 'monolith', fresh, 502],
    ['sync', 'monolith', fresh, 502],
    ['cutover', 'service', fresh, 200],
    ['cutover', 'service', stale, 502],
    ['retired', 'service', fresh, 502],
  ] as const)('in %s, with a dead %s and %j, gets %i', async (phase, dead, freshness, status) => {
    const alive = (await keep(serve(json({ by: 'other' })))).url;
    const gone = await nobody();
    const edge = await edgeOf({
      monolith: dead === 'monolith' ? gone : alive,
      service: dead === 'monolith' ? alive : gone,
      facade,
      freshness,
      tables: true,
    });
    edge.set({ phase, weight: 0 });
    expect(await call(`${edge.url}/api/products`)).toMatchObject({ status });
  });

  test('is not answered by another path where the capability says so, and a write never is', async () => {
    const monolith = await keep(serve(json({ by: 'monolith' })));
    const edge = await edgeOf({
      monolith: monolith.url,
      service: await nobody(),
      facade,
      canary: toService,
      fallback: false,
      freshness: fresh,
    });
    edge.set({ phase: 'canary' });
    expect(await call(`${edge.url}/api/products`, { headers })).toMatchObject({ status: 502 });
    edge.set({ phase: 'cutover' });
    expect(await call(`${edge.url}/api/products`, { method: 'POST', body: 'x' })).toMatchObject({
      status: 502,
    });
  });

  test('an open circuit sends it to the other path without asking', async () => {
    const monolith = await keep(serve(json({ by: 'monolith' })));
    let asked = 0;
    const service = await keep(
      serve((req) => {
        asked += 1;
        req.socket.resetAndDestroy();
      }),
    );
    const edge = await edgeOf({
      monolith: monolith.url,
      service: service.url,
      facade: { ...facade, breaker: { minimumRequests: 5, openMs: 60_000, maxOpenMs: 60_000 } },
      canary: toService,
    });
    edge.set({ phase: 'canary' });
    for (let nth = 0; nth < 10; nth++)
      expect(await call(`${edge.url}/api/products`, { headers })).toMatchObject({ status: 200 });
    expect(asked).toBe(5);
  });
});

test('an overloaded edge refuses by priority, and nobody who has waited already', async () => {
  const upstream = await keep(serve(json({ ok: true })));
  const shed = new Set(['low']);
  const edge = await edgeOf({
    monolith: upstream.url,
    sheds: (priority) => shed.has(priority),
    routes: [
      { path: '/api/products', methods: ['GET'], priority: 'low' },
      { path: '/api/products', methods: ['POST'] },
      { path: '/api/products/:id', priority: 'high' },
    ],
  });
  const status = async (path: string, method = 'GET'): Promise<number> =>
    (await call(`${edge.url}${path}`, { method })).status;
  expect(await status('/api/products')).toBe(503);
  expect(await status('/api/products', 'POST')).toBe(200);
  edge.set({ holding: true });
  const held = status('/api/products', 'POST');
  await eventually('the write to wait', () => edge.holds.figures('catalog').waiting === 1);
  shed.add('normal');
  expect(await status('/unclaimed')).toBe(503);
  expect(await status('/api/products/1')).toBe(200);
  edge.set({ holding: false });
  expect(await held).toBe(200);
});

test('a refusal leaves the connection of a request without a body as it is', async () => {
  const upstream = await keep(serve(json({ ok: true })));
  let overloaded = true;
  const edge = await edgeOf({ monolith: upstream.url, sheds: () => overloaded });
  const client = await wire(edge.port);
  for (const request of ['GET / HTTP/1.1', 'POST / HTTP/1.1\r\nContent-Length: 0']) {
    client.send(`${request}\r\nHost: a\r\n\r\n`);
    await client.until(/503 [^]*\}$/);
  }
  overloaded = false;
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  expect(await client.until(/\{"ok":true\}$/)).not.toMatch(/connection: close/i);
  overloaded = true;
  edge.edge.drain();
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  expect(await client.untilClosed()).toMatch(/connection: close/i);
});
