import type { RequestListener } from 'node:http';
import { afterEach, describe, expect, test } from '@jest/globals';
import { serve, wire, type TestServer } from '../test/support/http.ts';
import { serveEdge, type TestEdge } from '../test/support/edge.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function upstream(listener: RequestListener): Promise<TestServer> {
  const server = await serve(listener);
  open.push(server);
  return server;
}

async function edgeTo(monolith: string): Promise<TestEdge> {
  const edge = await serveEdge({ monolith });
  open.push(edge);
  return edge;
}

describe('what could be read in two ways never reaches an upstream', () => {
  test.each([
    ['two Host fields', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
    ['the absolute form', 'GET http://evil/ HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['the asterisk form', 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n'],
    [
      'a length and chunks',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    [
      'two lengths',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc',
    ],
    [
      'another transfer coding',
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    ],
    ['a space before a colon', 'GET / HTTP/1.1\r\nHost : a\r\n\r\n'],
    ['a folded field', 'GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n'],
    ['HTTP/0.9', 'GET /\r\n\r\n'],
    ['HTTP/0.9 with fields', 'GET /x\nHost: a\nContent-Length: 5\n\nhello'],
    ['no Host', 'GET / HTTP/1.1\r\n\r\n'],
  ])('%s', async (_, text) => {
    const seen: string[] = [];
    const { url } = await upstream((req, res) => {
      seen.push(`${req.method} ${req.url}`);
      req.resume();
      res.end();
    });
    const client = await wire((await edgeTo(url)).port);
    client.send(text);
    expect(await client.untilClosed()).toMatch(/^(HTTP\/1\.1 400 |$)/);
    expect(seen).toEqual([]);
  });

  test('on a server that listens for no upgrades a WebSocket handshake is answered with 501', async () => {
    const seen: string[] = [];
    const { url } = await upstream((req, res) => {
      seen.push(req.url ?? '');
      res.end('plain');
    });
    const edge = await edgeTo(url);
    edge.server.removeAllListeners('upgrade');
    const client = await wire(edge.port);
    client.send(
      'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n',
    );
    expect(await client.untilClosed()).toMatch(/^HTTP\/1.1 501 [^]*application\/problem\+json/);
    expect(seen).toEqual([]);
    const h2c = await wire(edge.port);
    h2c.send(
      'GET /h2c HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n',
    );
    await h2c.until(/plain/);
    expect(seen).toEqual(['/h2c']);
    h2c.socket.destroy();
  });

  test('requests sent in one piece are answered one by one, in order', async () => {
    const { url } = await upstream((req, res) => {
      res.end(`<${req.url}>`);
    });
    const client = await wire((await edgeTo(url)).port);
    client.send('GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(await client.until(/<\/2>/)).toMatch(/<\/1>[^]*<\/2>/);
    client.socket.destroy();
  });
});
