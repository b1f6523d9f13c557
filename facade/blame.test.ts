// What says nothing of an upstream: a client that leaves, or that stops in the middle of what it sends. And
// what a client is told of its request: never that nobody got it when somebody may have.
import type { RequestListener } from 'node:http';
import { afterEach, expect, test } from '@jest/globals';
import { serveEdge, type TestEdge, type TestEdgeOptions } from '../test/support/edge.ts';
import { call, eventually, json, readAll, serve, serveBytes, wire } from '../test/support/http.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

const breaker = { minimumRequests: 3, openMs: 200, maxOpenMs: 200 };
const HALF = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf';

async function edgeTo(url: string, facade: TestEdgeOptions['facade'] = {}): Promise<TestEdge> {
  const edge = await serveEdge({ monolith: url, facade: { breaker, ...facade } });
  open.push(edge);
  return edge;
}

async function upstream(listener: RequestListener): Promise<string> {
  const server = await serve(listener);
  open.push(server);
  return server.url;
}

const states = (edge: TestEdge): string[] => edge.guards.figures().map(({ state }) => state);

test('a probe whose client leaves decides nothing: the next request is the probe', async () => {
  let asked = 0;
  let mended = false;
  const url = await upstream((req, res) => {
    asked += 1;
    if (mended) json({ ok: true })(req, res);
    else if (asked <= 3) req.socket.resetAndDestroy();
  });
  const edge = await edgeTo(url, { retry: { attempts: 0 } });
  for (let nth = 0; nth < 3; nth++) await call(`${edge.url}/api/products`);
  expect(states(edge)).toEqual(['open']);
  await eventually('a probe to arrive', async () => {
    const client = await wire(edge.port);
    client.send('GET /api/products HTTP/1.1\r\nHost: a\r\n\r\n');
    await eventually('it to arrive, or a refusal', () => asked > 3 || client.received() !== '');
    client.socket.destroy();
    return asked > 3;
  });
  await eventually('it to be counted out', () => edge.edge.inFlight() === 0);
  expect(states(edge)).toEqual(['half-open']);
  mended = true;
  expect(await call(`${edge.url}/api/products`)).toMatchObject({ status: 200 });
  await eventually('the circuit to be closed', () => states(edge)[0] === 'closed');
});

test('a client that stops in the middle of its upload is told so: 408, and the circuit stays closed', async () => {
  const url = await upstream((req, res) => {
    readAll(req).then(
      () => res.end('ok'),
      () => undefined,
    );
  });
  const edge = await edgeTo(url, { timeoutMs: 500 });
  for (let nth = 0; nth < 4; nth++) {
    const client = await wire(edge.port);
    client.send(HALF);
    expect(await client.untilClosed()).toMatch(
      /^HTTP\/1\.1 408 Request Timeout\r\n[^]*connection: close[^]*"status":408/i,
    );
  }
  expect([states(edge), edge.troubles]).toEqual([['closed'], []]);
});

test('one that stops because the upstream takes no more gets 504', async () => {
  const server = await serveBytes((socket) => socket.pause());
  open.push(server);
  const edge = await edgeTo(server.url, { timeoutMs: 500 });
  const client = await wire(edge.port);
  const size = 64 * 1024 * 1024;
  client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`);
  client.send('x'.repeat(size - 1));
  expect(await client.until(/\}$/)).toMatch(/^HTTP\/1\.1 504 /);
  expect(edge.troubles).toHaveLength(1);
  client.socket.destroy();
});

test('a request that was sent once is never said to have been forwarded to nobody', async () => {
  const seen: string[] = [];
  const url = await upstream((req) => {
    seen.push(req.method ?? '');
    req.socket.resetAndDestroy();
  });
  const edge = await edgeTo(url, {
    breaker: { minimumRequests: 1, openMs: 60_000, maxOpenMs: 60_000 },
  });
  // The circuit opens before it can be sent again.
  expect(await call(`${edge.url}/api/products`, { method: 'DELETE' })).toMatchObject({
    status: 502,
  });
  expect([seen, states(edge)]).toEqual([['DELETE'], ['open']]);
  expect(await call(`${edge.url}/api/products`, { method: 'DELETE' })).toMatchObject({
    status: 503,
  });
  expect(seen).toEqual(['DELETE']);
});
