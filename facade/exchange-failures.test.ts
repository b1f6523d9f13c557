import type { RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { freePort } from '../core/free-port.ts';
import {
  call,
  eventually,
  readAll,
  serve,
  serveBytes,
  wire,
  type TestServer,
} from '../test/support/http.ts';
import { serveEdge, type TestEdge, type TestEdgeOptions } from '../test/support/edge.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function upstream(listener: RequestListener): Promise<TestServer> {
  const server = await serve(listener);
  open.push(server);
  return server;
}

async function rawUpstream(script: (socket: Socket, nth: number) => void): Promise<string> {
  const server = await serveBytes(script);
  open.push(server);
  return server.url;
}

async function edgeTo(monolith: string, facade: TestEdgeOptions['facade'] = {}): Promise<TestEdge> {
  const edge = await serveEdge({ monolith, facade });
  open.push(edge);
  return edge;
}

function problemOf(body: string): { status: number; title: string } {
  return JSON.parse(body) as { status: number; title: string };
}

describe('when a side fails', () => {
  test('a client that leaves cancels the upstream', async () => {
    let began = false;
    let cancelled = false;
    const { url } = await upstream((_req, res) => {
      began = true;
      res.on('close', () => {
        cancelled = true;
      });
    });
    const client = await wire((await edgeTo(url)).port);
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await eventually('the upstream to begin', () => began);
    client.socket.destroy();
    await eventually('the upstream to be cancelled', () => cancelled);
  });

  test('a client that leaves in the middle of its upload cancels the upstream', async () => {
    let cancelled = false;
    let got = 0;
    const { url } = await upstream((req, res) => {
      req.on('data', (chunk: Buffer) => {
        got += chunk.length;
      });
      res.on('close', () => {
        cancelled = true;
      });
    });
    const edge = await edgeTo(url);
    const client = await wire(edge.port);
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome');
    await eventually('the body to arrive', () => got === 4);
    client.socket.destroy();
    await eventually('the upstream to be cancelled', () => cancelled);
    await eventually('the request to be counted out', () => edge.edge.inFlight() === 0);
  });

  test.each(['content-length: 100', 'transfer-encoding: chunked'])(
    'an upstream that dies in the middle of its answer (%s) breaks the client’s connection',
    async (framing) => {
      const url = await rawUpstream((socket) => {
        socket.once('data', () => {
          socket.write(`HTTP/1.1 200 OK\r\n${framing}\r\n\r\n4\r\nhalf\r\n`, () => {
            socket.resetAndDestroy();
          });
        });
      });
      const edge = await edgeTo(url);
      const client = await wire(edge.port);
      client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      expect(await client.untilClosed()).not.toMatch(/\r\n0\r\n\r\n$/);
      const metrics = await edge.metrics.registry.metrics();
      expect(metrics).toMatch(/banyan_requests_total\{[^}]*path="monolith",status="502"\} 1/);
    },
  );

  test('a refused connection is 502, as a problem that names no upstream', async () => {
    const port = await freePort();
    const reply = await call(`${(await edgeTo(`http://127.0.0.1:${port}`)).url}/x`);
    expect(reply.status).toBe(502);
    expect(reply.headers['content-type']).toBe('application/problem+json');
    expect(problemOf(reply.body)).toMatchObject({ status: 502, title: 'Bad Gateway' });
    expect(reply.body + JSON.stringify(reply.headers)).not.toContain(String(port));
  });

  test.each([
    ['closes without a word', ''],
    ['talks nonsense', 'SSH-2.0-OpenSSH\r\n'],
    [
      'frames its answer twice',
      'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
    ],
  ])('an upstream that %s is 502', async (_, text) => {
    const url = await rawUpstream((socket) => {
      socket.once('data', () => socket.end(text));
    });
    expect(await call(`${(await edgeTo(url)).url}/x`, { method: 'POST', body: 'x' })).toMatchObject(
      {
        status: 502,
      },
    );
  });

  test.each([
    ['in time', { connectTimeoutMs: 50 }],
    ['before the deadline', { connectTimeoutMs: 5_000, timeoutMs: 100 }],
  ])('an upstream that gives no connection %s is 504', async (_, facade) => {
    // A handshake that nobody answers.
    const silent = await rawUpstream(() => undefined);
    const edge = await edgeTo(silent.replace('http:', 'https:'), {
      retry: { attempts: 0 },
      ...facade,
    });
    expect(await call(`${edge.url}/x`)).toMatchObject({ status: 504 });
  });

  test('what no capability claims may take longer than what one does', async () => {
    const { url } = await upstream((req, res) => {
      setTimeout(() => res.end('slowly'), 400);
      req.resume();
    });
    const edge = await edgeTo(url, { timeoutMs: 100, unclaimed: { timeoutMs: 30_000 } });
    expect(await call(`${edge.url}/api/products`)).toMatchObject({ status: 504 });
    expect(await call(`${edge.url}/reports`)).toMatchObject({ status: 200, body: 'slowly' });
  });

  test('an upstream that does not answer in time is 504 and hears no more of it', async () => {
    let cancelled = false;
    const { url } = await upstream((_req, res) => {
      res.on('close', () => {
        cancelled = true;
      });
    });
    const edge = await edgeTo(url, { timeoutMs: 1_000 });
    const reply = await call(`${edge.url}/x`);
    expect(reply.status).toBe(504);
    expect(reply.headers['content-type']).toBe('application/problem+json');
    await eventually('the upstream to be cancelled', () => cancelled);
  });

  test('waiting for a connection counts too, and what waited too long is never sent', async () => {
    const seen: string[] = [];
    const held: ServerResponse[] = [];
    const { url } = await upstream((req, res) => {
      seen.push(req.url ?? '');
      // A begun answer has no deadline, so these stay busy.
      res.write('begun');
      if (req.url === '/busy') held.push(res);
      else res.end();
    });
    const edge = await edgeTo(url, { timeoutMs: 4_500, bulkhead: { connections: 8 } });
    const busy = Array.from({ length: 8 }, () => call(`${edge.url}/busy`));
    await eventually('every connection to be busy', () => seen.length === 8);
    const late = await call(`${edge.url}/late`, { method: 'DELETE' });
    expect(late.status).toBe(503);
    for (const res of held) res.end();
    await Promise.all(busy);
    expect(await call(`${edge.url}/after`)).toMatchObject({ status: 200 });
    expect(seen).not.toContain('/late');
  });

  test('an upload that makes progress is not cut at the deadline', async () => {
    const { url } = await upstream((req, res) => {
      void readAll(req).then((body) => res.end(`got ${body.length}`));
    });
    const client = await wire((await edgeTo(url, { timeoutMs: 6_000 })).port);
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n');
    for (let sent = 0; sent < 5; sent++) {
      client.send('x');
      const next = performance.now() + 1_800;
      await eventually('a third of the deadline to pass', () => performance.now() > next);
    }
    await client.until(/got 5/);
    client.socket.destroy();
  });
});

describe('a kept-alive connection that the upstream has closed', () => {
  /** Answers the first request of its first connection, and resets that connection at the second. */
  function staleOnce(seen: string[]): Promise<string> {
    return rawUpstream((socket, nth) => {
      let requests = 0;
      socket.on('data', (bytes) => {
        seen.push(bytes.toString().split(' ', 1)[0] ?? '');
        requests += 1;
        if (nth === 0 && requests === 2) socket.resetAndDestroy();
        else socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
      });
    });
  }

  test('costs a read nothing: it is sent once more', async () => {
    const seen: string[] = [];
    const edge = await edgeTo(await staleOnce(seen));
    expect(await call(`${edge.url}/1`)).toMatchObject({ status: 200 });
    expect(await call(`${edge.url}/2`)).toMatchObject({ status: 200, body: 'ok' });
    expect(seen).toEqual(['GET', 'GET', 'GET']);
  });

  test('is 502 for a POST, which is never sent twice', async () => {
    const seen: string[] = [];
    const edge = await edgeTo(await staleOnce(seen));
    expect(await call(`${edge.url}/1`)).toMatchObject({ status: 200 });
    expect(await call(`${edge.url}/2`, { method: 'POST' })).toMatchObject({ status: 502 });
    expect(seen).toEqual(['GET', 'POST']);
  });

  test('an upstream that always resets gets a read three times, not for ever', async () => {
    let connections = 0;
    const url = await rawUpstream((socket) => {
      connections += 1;
      socket.once('data', () => socket.resetAndDestroy());
    });
    expect(await call(`${(await edgeTo(url)).url}/1`)).toMatchObject({ status: 502 });
    expect(connections).toBe(3);
  });
});
