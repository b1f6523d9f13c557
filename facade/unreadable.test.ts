// What is no request: answered as Node's server would, but as a problem, and counted.
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { sleep } from '../core/lifecycle.ts';
import { dataServer } from './server.ts';
import { serveEdge, type TestEdge } from '../test/support/edge.ts';
import { eventually, serve, serveSide, wire, type Side } from '../test/support/http.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function scene(): Promise<{ port: number; edge: TestEdge; monolith: Side }> {
  const monolith = await serveSide('monolith');
  const edge = await serveEdge({ monolith: monolith.url });
  const front = await serve(() => undefined, dataServer(edge.edge));
  open.push(monolith, edge, front);
  return { port: front.port, edge, monolith };
}

const HOST = 'Host: a\r\n';

test.each([
  [
    'a head that is too large',
    431,
    `GET / HTTP/1.1\r\n${HOST}Cookie: ${'x'.repeat(70_000)}\r\n\r\n`,
  ],
  ['a bare LF', 400, 'GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n'],
  ['no HTTP at all', 400, '\u0016\u0003\u0001\u0002'],
  ['no Host field', 400, 'GET / HTTP/1.1\r\nX: y\r\n\r\n'],
])('%s', async (_, status, text) => {
  const { port, edge, monolith } = await scene();
  const client = await wire(port);
  client.send(text);
  const answer = await client.untilClosed();
  expect(answer).toMatch(
    new RegExp(`^HTTP/1\\.1 ${status} [^]*application/problem\\+json[^]*"status":${status}`),
  );
  expect(monolith.seen).toEqual([]);
  expect(await edge.metrics.registry.metrics()).toContain(
    'banyan_refused_total{reason="ambiguous"} 1',
  );
});

test('what follows is thrown away, and counted once', async () => {
  const { port, edge } = await scene();
  const client = await wire(port);
  client.send('nonsense\r\n\r\n');
  for (let nth = 0; nth < 5; nth++) client.send(`GET /${nth} HTTP/1.1\r\n${HOST}\r\n`);
  expect((await client.untilClosed()).match(/HTTP\/1\.1/g)).toHaveLength(1);
  expect(await edge.metrics.registry.metrics()).toContain(
    'banyan_refused_total{reason="ambiguous"} 1',
  );
});

test('who is still sending gets the answer, and no reset', async () => {
  const { port } = await scene();
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  let broken: Error | undefined;
  client.on('error', (error) => (broken = error));
  client.write('nonsense\r\n\r\n');
  client.resume();
  await once(client, 'end');
  for (let nth = 0; nth < 3; nth++) {
    client.write('more\r\n\r\n');
    await sleep(50);
  }
  expect(broken).toBeUndefined();
  client.end();
  await once(client, 'close');
});

test('a chunk that is none is the end of its upload', async () => {
  const { port, edge } = await scene();
  const client = await wire(port);
  client.send(`POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n`);
  await eventually('the upload', () => edge.edge.inFlight() === 1);
  client.send('nonsense\r\n');
  expect(await client.untilClosed()).toMatch(/^HTTP\/1\.1 400 /);
  await eventually('nothing in flight', () => edge.edge.inFlight() === 0);
});
