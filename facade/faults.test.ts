// What exchange-failures.test.ts leaves open: upstreams that hang or drip once their answer has begun,
// that reset while the request is being written, and answers that come while a large upload goes on.
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { eventually, serve, serveBytes, wire } from '../test/support/http.ts';
import { serveEdge, type TestEdge, type TestEdgeOptions } from '../test/support/edge.ts';
import { dataServer } from './server.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function edgeTo(
  script: (socket: Socket, nth: number) => void,
  facade: TestEdgeOptions['facade'] = {},
): Promise<{ port: number; edge: TestEdge }> {
  const upstream = await serveBytes(script);
  open.push(upstream);
  const edge = await serveEdge({ monolith: upstream.url, facade });
  open.push(edge);
  const front = await serve(() => undefined, dataServer(edge.edge));
  open.push(front);
  return { port: front.port, edge };
}

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

test('a reason with a control character is left out', async () => {
  const { port } = await edgeTo((socket) => {
    socket.on('data', () => socket.write('HTTP/1.1 200 O\x01K\r\nContent-Length: 4\r\n\r\ndone'));
  });
  const client = await wire(port);
  client.send(GET);
  expect(await client.until(/done$/)).toMatch(/^HTTP\/1\.1 200 \r\n/);
  client.socket.destroy();
});

test('a 304 with the length of what it does not carry is no trouble', async () => {
  const { port, edge } = await edgeTo((socket) => {
    socket.on('data', () => socket.write('HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n'));
  });
  const client = await wire(port);
  for (const answers of [1, 2]) {
    client.send(GET);
    await client.until(new RegExp(`(HTTP/1.1 304 [^]*?\\r\\n\\r\\n){${answers}}$`));
  }
  expect(edge.troubles).toEqual([]);
  client.socket.destroy();
});

test('Node’s own clock ends no upload, and still a head that does not come', async () => {
  const { edge } = await edgeTo(() => undefined);
  const { requestTimeout, headersTimeout } = dataServer(edge.edge);
  expect([requestTimeout, headersTimeout]).toEqual([0, 60_000]);
});

describe('behind the last answer of a connection', () => {
  const REFUSED = 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n';

  test('a few requests are ignored, and more than that end it at once', async () => {
    let asked = 0;
    const { port } = await edgeTo(() => {
      asked += 1;
    });
    const client = await wire(port, { allowHalfOpen: true });
    let closed = false;
    client.socket.once('close', () => {
      closed = true;
    });
    client.send(REFUSED + GET.repeat(10));
    expect(await client.until(/\}$/)).toMatch(/^HTTP\/1\.1 400 /);
    // The edge has closed its half only, and reads on.
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(closed).toBe(false);
    client.send(GET.repeat(100));
    // Only who sends on is told: the other half was closed before. The edge reads on for longer than
    // this waits.
    const sending = setInterval(() => {
      client.send(GET);
    }, 10);
    await client.untilClosed().finally(() => {
      clearInterval(sending);
    });
    expect(asked).toBe(0);
  });

  test('no upgrade is served', async () => {
    let asked = 0;
    const { port, edge } = await edgeTo(() => {
      asked += 1;
    });
    const client = await wire(port, { allowHalfOpen: true });
    client.send(REFUSED);
    await client.until(/\}$/);
    client.send(
      'GET /live HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    );
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect([asked, edge.edge.inFlight()]).toEqual([0, 0]);
    client.socket.destroy();
  });
});

describe('an upstream that has begun its answer', () => {
  test('and hangs leaves the client with what came, until the client gives up', async () => {
    let cancelled = false;
    const { port, edge } = await edgeTo((socket) => {
      socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf'));
      socket.once('close', () => {
        cancelled = true;
      });
    });
    const client = await wire(port);
    client.send(GET);
    await client.until(/half$/);
    client.socket.destroy();
    await eventually('the upstream to be cancelled', () => cancelled);
    await eventually('it to be counted out', () => edge.edge.inFlight() === 0);
  });

  test('with half of its head has not begun: 504 at the deadline', async () => {
    const { port } = await edgeTo(
      (socket) => {
        socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Le'));
      },
      { timeoutMs: 1_000 },
    );
    const client = await wire(port);
    client.send(GET);
    expect(await client.until(/\}$/)).toMatch(/^HTTP\/1\.1 504 /);
    client.socket.destroy();
  });

  test('with interim answers only has not begun either', async () => {
    const { port } = await edgeTo(
      (socket) => {
        socket.once('data', () => socket.write('HTTP/1.1 102 Processing\r\n\r\n'));
      },
      { timeoutMs: 1_000 },
    );
    const client = await wire(port);
    client.send(GET);
    expect(await client.until(/\}$/)).toMatch(/^HTTP\/1\.1 102 [^]*HTTP\/1\.1 504 /);
    client.socket.destroy();
  });

  test('and streams events has each passed on at once, past the deadline', async () => {
    const events: (() => void)[] = [];
    const { port } = await edgeTo(
      (socket) => {
        socket.once('data', () => {
          socket.write(
            'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n',
          );
          events.push(() => socket.write('9\r\ndata: 1\n\n\r\n'));
        });
      },
      { timeoutMs: 500 },
    );
    const client = await wire(port);
    client.send('GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n');
    await client.until(/\r\n\r\n$/);
    const past = performance.now() + 700;
    await eventually('the deadline to pass', () => performance.now() > past);
    for (const count of [1, 2, 3]) {
      events[0]?.();
      await client.until(new RegExp(`\\r\\n\\r\\n(9\\r\\ndata: 1\\n\\n\\r\\n){${count}}$`));
    }
    client.socket.destroy();
  });

  test('and drips has each drop passed on at once, past the deadline', async () => {
    const drops: (() => void)[] = [];
    const { port } = await edgeTo(
      (socket) => {
        socket.once('data', () => {
          socket.write('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n');
          drops.push(() => socket.write('x'));
        });
      },
      { timeoutMs: 1_500 },
    );
    const client = await wire(port);
    client.send(GET);
    await client.until(/\r\n\r\n$/);
    const past = performance.now() + 1_800;
    await eventually('the deadline to pass', () => performance.now() > past);
    for (const expected of [/\r\n\r\nx$/, /\r\n\r\nxx$/, /\r\n\r\nxxx$/]) {
      drops[0]?.();
      await client.until(expected);
    }
    client.socket.destroy();
  });
});

test('an upstream that resets in the middle of an upload is 502', async () => {
  const { port } = await edgeTo((socket) => {
    socket.once('data', () => socket.resetAndDestroy());
  });
  const client = await wire(port);
  client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n${'x'.repeat(500)}`);
  expect(await client.until(/\}$/)).toMatch(/^HTTP\/1\.1 502 /);
  client.socket.destroy();
});

describe('an answer that comes while the client goes on sending', () => {
  /** Sends a head and then as much as the connection takes, reading nothing until `mayRead`. */
  async function upload(
    port: number,
    head: string,
    answered: () => boolean,
  ): Promise<{ text: string; reset: boolean }> {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    let reset = false;
    socket.on('error', () => {
      reset = true;
    });
    await new Promise((resolve) => socket.once('connect', resolve));
    socket.pause();
    socket.write(head);
    await eventually('the answer to be under way', answered);
    // The client is busy sending: it looks at the answer only after this much.
    for (let sent = 0; sent < 64 && !socket.destroyed; sent++) {
      const chunk = Buffer.alloc(64 * 1024, 'x');
      await new Promise((resolve) => socket.write(chunk, resolve));
    }
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    await new Promise((resolve) => {
      socket.once('end', resolve);
      socket.once('close', resolve);
      socket.resume();
    });
    socket.destroy();
    return { text, reset };
  }

  const POST = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n';

  test('by the upstream reaches it whole: no reset takes it away', async () => {
    let answered = false;
    const { port, edge } = await edgeTo((socket) => {
      socket.once('data', () => {
        socket.end(
          'HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 7\r\n\r\ntoo big',
        );
      });
    });
    const counted = async (): Promise<boolean> => {
      const text = await edge.metrics.registry.metrics();
      return text.includes('status="413"');
    };
    const watch = eventually('the answer', counted).then(() => {
      answered = true;
    });
    const { text, reset } = await upload(port, `${POST}\r\nx`, () => answered);
    await watch;
    expect({ text, reset }).toMatchObject({ reset: false });
    expect(text).toMatch(/^HTTP\/1\.1 413 [^]*connection: close[^]*too big$/i);
  });

  test('by the facade reaches it whole as well', async () => {
    let answered = false;
    const { port, edge } = await edgeTo(() => undefined);
    const counted = async (): Promise<boolean> => {
      const text = await edge.metrics.registry.metrics();
      return text.includes('status="400"');
    };
    const watch = eventually('the answer', counted).then(() => {
      answered = true;
    });
    const { text, reset } = await upload(port, `${POST}Host: b\r\n\r\n`, () => answered);
    await watch;
    expect({ text, reset }).toMatchObject({ reset: false });
    expect(text).toMatch(/^HTTP\/1\.1 400 [^]*two Host fields/);
  });
});
