import { createServer, request, type IncomingMessage, type RequestListener } from 'node:http';
import { Readable } from 'node:stream';
import { afterEach, describe, expect, test } from '@jest/globals';
import { sleep } from '../core/lifecycle.ts';
import {
  call,
  eventually,
  json,
  readAll,
  serve,
  wire,
  type TestServer,
} from '../test/support/http.ts';
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

describe('what crosses the facade', () => {
  test('method, target, fields and body arrive as they were sent, with the facade’s own fields', async () => {
    const seen: { line: string; headers: IncomingMessage['headers']; body: string }[] = [];
    const { url } = await upstream((req, res) => {
      void readAll(req).then((body) => {
        seen.push({
          line: `${req.method} ${req.url}`,
          headers: req.headers,
          body: body.toString(),
        });
        res.writeHead(201, 'Made', [
          ...[
            'Set-Cookie',
            'a=1',
            'Set-Cookie',
            'b=2',
            'X-Case',
            'kept',
            'Connection',
            'x-hop',
            'X-Hop',
            '1',
          ],
        ]);
        res.end('answer');
      });
    });
    const edge = await edgeTo(`${url}/base/`);
    const reply = await call(`${edge.url}/any/%70ath/?q=%2F`, {
      method: 'PATCH',
      headers: {
        host: 'shop.example',
        cookie: 'c=1',
        'x-forwarded-for': '6.6.6.6',
        'x-banyan-a': '1',
      },
      body: 'hello',
    });
    expect(seen[0]).toMatchObject({ line: 'PATCH /base/any/%70ath/?q=%2F', body: 'hello' });
    expect(seen[0]?.headers).toMatchObject({
      host: 'shop.example',
      cookie: 'c=1',
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-host': 'shop.example',
      'x-forwarded-proto': 'http',
    });
    expect(seen[0]?.headers['x-request-id']).toMatch(/^[0-9a-f]{24}-[0-9a-z]+$/);
    expect(seen[0]?.headers).not.toHaveProperty('x-banyan-a');
    expect(reply).toMatchObject({ status: 201, body: 'answer' });
    expect(reply.headers['set-cookie']).toEqual(['a=1', 'b=2']);
    expect(reply.rawHeaders).toContain('X-Case');
    expect(reply.headers).not.toHaveProperty('x-hop');
  });

  test('HEAD, 204 and 304 have no body and keep the connection usable', async () => {
    const { url } = await upstream((req, res) => {
      if (req.method === 'HEAD') res.writeHead(200, { 'content-length': '1000' });
      else if (req.url === '/none') res.writeHead(204);
      else if (req.url === '/same') res.writeHead(304, { etag: '"x"', 'content-length': '5' });
      else res.writeHead(200, { 'content-length': '2' });
      res.end(req.url === '/some' && req.method === 'GET' ? 'ok' : undefined);
    });
    const edge = await edgeTo(url);
    const client = await wire(edge.port);
    client.send('HEAD /some HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(await client.until(/\r\n\r\n$/)).toMatch(/^HTTP\/1.1 200.*content-length: 1000/is);
    client.send('GET /none HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(await client.until(/204 [^]*\r\n\r\n$/)).toMatch(/HTTP\/1.1 204/);
    client.send('GET /same HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(await client.until(/304 [^]*\r\n\r\n$/)).toMatch(/etag: "x"/i);
    client.send('GET /some HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(await client.until(/ok$/)).toMatch(/content-length: 2\r\n/i);
    client.socket.destroy();
  });

  test.each([1, 255, 16_384, 16_385, 300_000])(
    'a body of %d bytes arrives byte for byte',
    async (size) => {
      const bytes = Buffer.from(Array.from({ length: size }, (_, at) => (at * 7) % 256));
      const { url } = await upstream((_req, res) => {
        res.writeHead(200, { 'content-length': size });
        res.end(bytes);
      });
      const edge = await edgeTo(url);
      const received = await new Promise<Buffer>((resolve, reject) => {
        request(edge.url, (res) => {
          readAll(res).then(resolve, reject);
        }).end();
      });
      expect(received.equals(bytes)).toBe(true);
    },
  );

  test('trailers of a chunked answer cross, and early hints come first', async () => {
    const { url } = await upstream((_req, res) => {
      res.writeEarlyHints({ link: '</a.css>; rel=preload' });
      res.writeHead(200, { trailer: 'x-sum' });
      res.write('body');
      res.addTrailers({ 'x-sum': '42' });
      res.end();
    });
    const client = await wire((await edgeTo(url)).port);
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(await client.until(/x-sum: 42\r\n\r\n$/i)).toMatch(
      /^HTTP\/1.1 103 Early Hints\r\nlink: [^]*\r\n\r\nHTTP\/1.1 200 [^]*trailer: x-sum/i,
    );
    client.socket.destroy();
  });

  test('100 Continue is sent when the upstream takes the body, and the field is not passed on', async () => {
    const seen: IncomingMessage['headers'][] = [];
    const { url } = await upstream((req, res) => {
      seen.push(req.headers);
      void readAll(req).then((body) => res.end(`got ${body.toString()}`));
    });
    const client = await wire((await edgeTo(url)).port);
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n');
    await client.until(/^HTTP\/1.1 100 Continue\r\n\r\n$/);
    client.send('data');
    expect(await client.until(/got data/)).not.toMatch(/100 Continue[^]*100 Continue/);
    expect(seen[0]).not.toHaveProperty('expect');
    client.socket.destroy();
  });

  test('100 Continue is not sent while a write is held: its body stays with the client', async () => {
    const { url } = await upstream((req, res) => {
      void readAll(req).then((body) => res.end(`got ${body.toString()}`));
    });
    const edge = await edgeTo(url);
    edge.set({ holding: true });
    const client = await wire(edge.port);
    client.send(
      'POST /api/products HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n',
    );
    await eventually('the write to be held', () => edge.holds.figures('catalog').waiting === 1);
    await sleep(100);
    expect(client.received()).toBe('');
    edge.set({ holding: false });
    await client.until(/^HTTP\/1.1 100 Continue\r\n\r\n$/);
    client.send('data');
    await client.until(/got data/);
    client.socket.destroy();
  });

  test('a client of HTTP/1.0 gets no interim answer, whatever it expects', async () => {
    const { url } = await upstream((req, res) => {
      void readAll(req).then((body) => res.end(`got ${body.toString()}`));
    });
    const client = await wire((await edgeTo(url)).port);
    client.send('POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n');
    client.send('data');
    expect(await client.untilClosed()).toMatch(/^HTTP\/1.1 200 OK[^]*got data$/);
  });

  test('a body that nobody asked for yet is not read: no 100 Continue for a refused request', async () => {
    const edge = await edgeTo((await upstream(json({}))).url);
    const client = await wire(edge.port);
    client.send(
      'POST /x HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n',
    );
    expect(await client.untilClosed()).toMatch(/^HTTP\/1.1 400 /);
  });
});

describe('streaming', () => {
  const SIZE = 200 * 1024 * 1024;

  test('a large upload and its echo cross with bounded memory', async () => {
    const { url } = await upstream((req, res) => {
      req.pipe(res);
    });
    const edge = await edgeTo(url);
    const chunk = Buffer.alloc(64 * 1024, 7);
    let sent = 0;
    const body = new Readable({
      read() {
        sent += chunk.length;
        this.push(sent > SIZE ? null : chunk);
      },
    });
    let ahead = 0;
    const received = await new Promise<number>((resolve, reject) => {
      const out = request(`${edge.url}/echo`, { method: 'POST' }, (res) => {
        let count = 0;
        res.on('data', (part: Buffer) => {
          count += part.length;
          ahead = Math.max(ahead, sent - count);
        });
        res.on('end', () => {
          resolve(count);
        });
      });
      out.on('error', reject);
      body.pipe(out);
    });
    expect(received).toBe(SIZE);
    // What is under way is what sockets hold; a body kept anywhere would be under way as a whole.
    expect(ahead).toBeLessThan(SIZE / 4);
  });

  test('a client that does not read stops the upstream', async () => {
    let written = 0;
    const { url } = await upstream((_req, res) => {
      const chunk = Buffer.alloc(64 * 1024);
      const push = (): void => {
        while (!res.destroyed && written < SIZE) {
          written += chunk.length;
          if (!res.write(chunk)) {
            res.once('drain', push);
            return;
          }
        }
        res.end();
      };
      push();
    });
    const client = await wire((await edgeTo(url)).port);
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    client.socket.pause();
    let last = -1;
    let still = 0;
    await eventually('the upstream to stand still', async () => {
      still = written === last ? still + 1 : 0;
      last = written;
      await new Promise((resolve) => setImmediate(resolve));
      return written > 0 && still > 20;
    });
    expect(written).toBeLessThan(SIZE / 4);
    client.socket.destroy();
  });

  test('an upstream that does not read stops the client', async () => {
    const { url } = await upstream((req) => {
      req.pause();
    });
    const client = await wire((await edgeTo(url)).port);
    client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${SIZE}\r\n\r\n`);
    let sent = 0;
    const chunk = Buffer.alloc(64 * 1024);
    const push = (): void => {
      while (sent < SIZE) {
        sent += chunk.length;
        if (!client.socket.write(chunk)) {
          client.socket.once('drain', push);
          return;
        }
      }
    };
    push();
    let last = -1;
    let still = 0;
    await eventually('the client to stand still', () => {
      still = sent === last ? still + 1 : 0;
      last = sent;
      return still > 20;
    });
    expect(sent).toBeLessThan(SIZE / 4);
    client.socket.destroy();
  });

  test('an answer that comes before the upload is through reaches the client and ends the connection', async () => {
    const { url } = await upstream((_req, res) => {
      res.writeHead(413, { 'content-length': '7' });
      res.end('too big');
    });
    const client = await wire((await edgeTo(url)).port);
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome');
    expect(await client.untilClosed()).toMatch(/^HTTP\/1.1 413 [^]*connection: close[^]*too big$/i);
  });
});

test('metrics count by route and path, and everything unclaimed is one label', async () => {
  const { url } = await upstream(json({ ok: true }));
  const edge = await edgeTo(url);
  for (const path of ['/api/products/1', '/api/products/2', '/x', '/y'])
    await call(edge.url + path);
  const text = await edge.metrics.registry.metrics();
  expect(text).toContain(
    'banyan_requests_total{capability="catalog",route="GET /api/products/:id",path="monolith",status="200"} 2',
  );
  expect(text).toContain(
    'banyan_requests_total{capability="",route="unclaimed",path="monolith",status="200"} 2',
  );
  expect(text).toContain(
    'banyan_request_duration_seconds_count{capability="catalog",path="monolith"} 2',
  );
  expect(text).toContain('banyan_requests_in_flight 0');
});

test('a server without a listener of its own for 100-continue sends it once', async () => {
  const { url } = await upstream((req, res) => {
    void readAll(req).then((body) => res.end(`got ${body.toString()}`));
  });
  const edge = await edgeTo(url);
  const plain = await serve((req, res) => {
    edge.edge.handle(req, res);
  }, createServer());
  open.push(plain);
  const client = await wire(plain.port);
  client.send(
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\ndata',
  );
  expect(await client.until(/got data/)).not.toMatch(/100 Continue[^]*100 Continue/);
  client.socket.destroy();
});
