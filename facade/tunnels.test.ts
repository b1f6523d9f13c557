// Upgraded connections through a real edge: what the wire carries, and how it ends when a side fails.
import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { freePort } from '../core/free-port.ts';
import { call, eventually } from '../test/support/http.ts';
import {
  begin,
  closeAll,
  edgeTo,
  finished,
  handshake,
  open,
  rawWire,
  serveEcho,
  serveRaw,
  SWITCHED,
  until,
} from '../test/support/tunnels.ts';

afterEach(closeAll);

test('an edge that has more to do than it can opens no tunnel', async () => {
  const monolith = await serveEcho('m');
  const edge = await edgeTo({ monolith: monolith.url, sheds: () => true });
  for (const path of ['/live', '/api/products']) {
    const raw = await rawWire(edge.port);
    raw.send(handshake(path));
    expect(await raw.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 503 /);
  }
  expect(monolith.upgrades).toHaveLength(0);
});

describe('what passes', () => {
  test('an upgrade as the very first request of a server, and one after requests on the same connection', async () => {
    const monolith = await serveEcho('monolith');
    const edge = await edgeTo({ monolith: monolith.url });
    const client = await begin(edge.port).opened;
    client.ws.send('hello');
    await until(client, 'monolith hello');
    expect(monolith.upgrades[0]?.url).toBe('/live');

    const raw = await rawWire(edge.port);
    raw.send('GET /plain HTTP/1.1\r\nHost: shop\r\n\r\n');
    await raw.until(/plain GET \/plain/);
    raw.send(handshake('/live'));
    expect(await raw.until(/101[^]*\r\n\r\n/)).toMatch(/Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYG/);
  });

  test('ten thousand small frames pass both ways in order', async () => {
    const monolith = await serveEcho('m');
    const edge = await edgeTo({ monolith: monolith.url });
    const client = await begin(edge.port).opened;
    for (let n = 0; n < 10_000; n++) client.ws.send(String(n));
    await eventually('all of them', () => client.got.length === 10_000);
    expect(client.got).toEqual(Array.from({ length: 10_000 }, (_, n) => `m ${n}`));
  });

  test('a close with its code passes in both directions', async () => {
    const monolith = await serveEcho('m');
    const edge = await edgeTo({ monolith: monolith.url });
    const one = await begin(edge.port).opened;
    one.ws.close(4321);
    expect(await one.closed).toBe(4321);
    await eventually('the code', () => monolith.seen.includes('close 4321'));
    const two = await begin(edge.port).opened;
    for (const socket of monolith.sockets) socket.close(4000);
    expect(await two.closed).toBe(4000);
    await eventually('nothing in flight', () => edge.edge.inFlight() === 0);
  });

  test('the upstream gets exactly the fields of the facade, and nothing of ours from outside', async () => {
    const upstream = await serveRaw((socket) => socket.write(SWITCHED));
    const edge = await edgeTo({ monolith: `${upstream.url}/base/` });
    const raw = await rawWire(edge.port);
    raw.send(
      'GET /a/%7Eb?x=1&y HTTP/1.1\r\nHost: shop.example:81\r\nUpgrade: WebSocket\r\n' +
        'Connection: keep-alive, Upgrade, X-Nominated\r\nX-Nominated: 1\r\nTE: trailers\r\n' +
        'X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nx-banyan-token: t\r\n' +
        'Sec-WebSocket-Key: k==\r\nSec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Version: 13\r\n' +
        'X-Two: 1\r\nCookie: c=\xe9\r\nx-two: 2\r\nX-Request-Id: id-1\r\n__proto__: p\r\n\r\n',
    );
    await raw.until(/101/);
    expect(upstream.text().replace(/(?<=x-request-id: )[0-9a-f]{24}-[0-9a-z]+/, 'made')).toBe(
      'GET /base/a/%7Eb?x=1&y HTTP/1.1\r\nHost: shop.example:81\r\n' +
        'Sec-WebSocket-Key: k==\r\nSec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Version: 13\r\n' +
        'X-Two: 1\r\nX-Two: 2\r\nCookie: c=\xe9\r\n__proto__: p\r\n' +
        'x-request-id: made\r\nx-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\n' +
        'x-forwarded-host: shop.example:81\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n',
    );
  });

  test('the client gets the fields of the 101 byte for byte, and what came in the same packet', async () => {
    const upstream = await serveRaw((socket) =>
      socket.write(
        'HTTP/1.1 101 Ok\r\nX-B: 2\r\nupgrade: x/1\r\nconnection: upgrade\r\nx-A: \xe9\r\n' +
          'Set-Cookie: a\r\nSet-Cookie: b\r\nX-a: two\r\n\r\nfirst words',
        'latin1',
      ),
    );
    const edge = await edgeTo({ monolith: upstream.url });
    const raw = await rawWire(edge.port);
    raw.send(handshake('/live').replace('websocket', 'x/1'));
    expect(await raw.until(/first words/)).toBe(
      'HTTP/1.1 101 Switching Protocols\r\nX-B: 2\r\nx-A: \xe9\r\nx-A: two\r\n' +
        'Set-Cookie: a\r\nSet-Cookie: b\r\nConnection: Upgrade\r\nUpgrade: x/1\r\n\r\nfirst words',
    );
    expect(upstream.text()).toContain('Upgrade: x/1\r\n');
  });

  test('what the client sends right behind its request, or before the answer, arrives in order', async () => {
    let switchNow = (): void => undefined;
    const upstream = await serveRaw((socket) => {
      switchNow = () => socket.write(SWITCHED);
    });
    const edge = await edgeTo({ monolith: upstream.url });
    const raw = await rawWire(edge.port);
    raw.send(`${handshake('/live')}one `);
    await eventually('the handshake', () => upstream.text().includes('\r\n\r\n'));
    raw.send('two ');
    switchNow();
    await raw.until(/101/);
    raw.send('three');
    await eventually('all of it', () => upstream.text().endsWith('\r\n\r\none two three'));
  });

  test.each([
    [401, 'WWW-Authenticate: Basic realm="x"\r\nContent-Length: 5\r\n\r\nlogin', 'login'],
    [302, 'Location: /login\r\nContent-Length: 0\r\n\r\n', ''],
    [
      426,
      'Upgrade: y\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n',
      'abcde',
    ],
    [403, 'X-Until: close\r\n\r\nuntil the end', 'until the end'],
  ])('an answer %d passes to the client with its body', async (status, rest, body) => {
    const upstream = await serveRaw((socket) =>
      socket.end(`HTTP/1.1 ${status} Nope\r\n${rest}`, 'latin1'),
    );
    const edge = await edgeTo({ monolith: upstream.url });
    const refused = begin(edge.port);
    const answer = await new Promise<IncomingMessage>((resolve) =>
      refused.ws.on('unexpected-response', (_req, res) => {
        resolve(res);
      }),
    );
    let text = '';
    for await (const chunk of answer as AsyncIterable<Buffer>) text += chunk.toString();
    expect([answer.statusCode, text]).toEqual([status, body]);
    if (status === 401) expect(answer.headers['www-authenticate']).toBe('Basic realm="x"');
    if (status === 302) expect(answer.headers.location).toBe('/login');
    await eventually('nothing in flight', () => edge.edge.inFlight() === 0);
    expect(
      await finished(edge, `capability="",route="unclaimed",path="monolith",status="${status}"`),
    ).toBe(true);
  });

  test('a refused handshake leaves no connection to the upstream behind', async () => {
    const upstream = await serveRaw((socket) =>
      socket.write('HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n'),
    );
    const edge = await edgeTo({ monolith: upstream.url });
    const raw = await rawWire(edge.port);
    raw.send(handshake('/live'));
    expect(await raw.untilClosed()).toMatch(/^HTTP\/1.1 401 No\r\n/);
    await eventually('its end', () => upstream.sockets[0]?.destroyed === true);
  });
});

describe('what is no tunnel', () => {
  test.each([
    ['an offer of HTTP/2', 'GET', 'h2c', ''],
    ['an offer with a body', 'POST', 'websocket', 'abc'],
  ])(
    '%s is served as an ordinary request, and the connection goes on',
    async (_, method, upgrade, body) => {
      const monolith = await serveEcho('m');
      const edge = await edgeTo({ monolith: monolith.url });
      const raw = await rawWire(edge.port);
      const request = (path: string): string =>
        `${method} ${path} HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: ${upgrade}\r\n` +
        `HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      raw.send(request('/one'));
      await raw.until(new RegExp(`plain ${method} /one ${body}`.trim()));
      raw.send(request('/two'));
      await raw.until(new RegExp(`plain ${method} /two ${body}`.trim()));
      expect(monolith.upgrades).toHaveLength(0);
      await eventually('nothing in flight', () => edge.edge.inFlight() === 0);
    },
  );

  test('an offer with every request of a connection leaves nothing behind', async () => {
    const monolith = await serveEcho('m');
    const edge = await edgeTo({ monolith: monolith.url });
    const sockets: Socket[] = [];
    edge.server.once('connection', (socket: Socket) => sockets.push(socket));
    const raw = await rawWire(edge.port);
    const left: number[] = [];
    for (let nth = 0; nth < 4; nth++) {
      raw.send(`GET /${nth} HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n`);
      await raw.until(new RegExp(`plain GET /${nth}`));
      left.push(sockets[0]?.listenerCount('error') ?? -1);
    }
    expect(new Set(left.slice(1)).size).toBe(1);
  });

  test('Upgrade without Connection: Upgrade is not implemented', async () => {
    const monolith = await serveEcho('m');
    const edge = await edgeTo({ monolith: monolith.url });
    expect(await call(`${edge.url}/live`, { headers: { upgrade: 'websocket' } })).toMatchObject({
      status: 501,
    });
  });

  test('an upgrade behind a request that is not answered yet ends the connection', async () => {
    const monolith = await serveRaw(() => undefined);
    const edge = await edgeTo({ monolith: monolith.url });
    const raw = await rawWire(edge.port);
    raw.send(`GET /slow HTTP/1.1\r\nHost: shop\r\n\r\n${handshake('/live')}`);
    expect(await raw.untilClosed()).toBe('');
    await eventually('nothing in flight', () => edge.edge.inFlight() === 0);
  });

  test.each([
    ['http://other/a', 'Host: shop\r\n'],
    ['/a', 'Host: shop\r\nHost: other\r\n'],
    ['/a', ''],
  ])('an ambiguous one is refused: %s %j', async (path, host) => {
    const monolith = await serveEcho('m');
    const edge = await edgeTo({ monolith: monolith.url });
    const raw = await rawWire(edge.port);
    raw.send(handshake(path).replace('Host: shop\r\n', host));
    const answer = await raw.untilClosed();
    expect(answer).toMatch(/^HTTP\/1.1 400 Bad Request\r\n[^]*application\/problem\+json/);
    expect(monolith.upgrades).toHaveLength(0);
  });
});

describe('when a side fails', () => {
  test('an upstream that refuses the connection or hangs up is 502', async () => {
    const dead = `http://127.0.0.1:${await freePort()}`;
    const rude = await serveRaw((socket) => socket.destroy());
    for (const monolith of [dead, rude.url]) {
      const edge = await edgeTo({ monolith });
      const raw = await rawWire(edge.port);
      raw.send(handshake('/live'));
      const answer = await raw.untilClosed();
      expect(answer).toMatch(/^HTTP\/1.1 502 Bad Gateway\r\n/);
      expect(answer).not.toContain(new URL(monolith).port);
      expect(JSON.parse(answer.split('\r\n\r\n')[1] ?? '')).toMatchObject({ status: 502 });
      expect(edge.edge.inFlight()).toBe(0);
    }
  });

  test('a 101 that does not upgrade is 502, with one answer only', async () => {
    const upstream = await serveRaw((socket) => socket.write('HTTP/1.1 101 What\r\n\r\n'));
    const edge = await edgeTo({ monolith: upstream.url });
    const raw = await rawWire(edge.port);
    raw.send(handshake('/live'));
    const answer = await raw.untilClosed();
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 502']);
  });

  test('no answer within the deadline is 504, and the handshake is given up', async () => {
    const upstream = await serveRaw(() => undefined);
    const edge = await edgeTo({ monolith: upstream.url, facade: { timeoutMs: 1_000 } });
    const raw = await rawWire(edge.port);
    raw.send(`${handshake('/live')}and more`);
    expect(await raw.untilClosed()).toMatch(/^HTTP\/1.1 504 Gateway Timeout\r\n/);
    await eventually('its end', () => upstream.sockets[0]?.destroyed === true);
    expect(edge.edge.inFlight()).toBe(0);
  });

  test('the deadline is that of its route, and of what nobody claims', async () => {
    const upstream = await serveRaw(() => undefined);
    const edge = await edgeTo({
      monolith: upstream.url,
      routes: ['/api/products', { path: '/api/products/:id', timeoutMs: 100 }],
      facade: { timeoutMs: 30_000, unclaimed: { timeoutMs: 200 } },
    });
    for (const path of ['/api/products/1', '/live']) {
      const raw = await rawWire(edge.port);
      raw.send(handshake(path));
      expect(await raw.untilClosed()).toMatch(/^HTTP\/1.1 504 Gateway Timeout\r\n/);
    }
  });

  test('a client that vanishes in the handshake or later takes its upstream connection along', async () => {
    const upstream = await serveRaw((socket, request) => {
      if (request.includes('/open')) socket.write(SWITCHED);
    });
    const edge = await edgeTo({ monolith: upstream.url });
    const early = await rawWire(edge.port);
    early.send(handshake('/waits'));
    await eventually('the handshake', () => upstream.text().includes('/waits'));
    early.socket.resetAndDestroy();
    await eventually('its end', () => upstream.sockets[0]?.destroyed === true);
    const late = await rawWire(edge.port);
    late.send(handshake('/open'));
    await late.until(/101/);
    late.socket.resetAndDestroy();
    await eventually('its end', () => upstream.sockets[1]?.destroyed === true);
    await eventually('nothing in flight', () => edge.edge.inFlight() === 0);
    expect(
      await finished(edge, 'capability="",route="unclaimed",path="monolith",status="499"'),
    ).toBe(true);
  });

  test('an upstream that vanishes takes the client along', async () => {
    const upstream = await serveRaw((socket) => socket.write(SWITCHED));
    const edge = await edgeTo({ monolith: upstream.url });
    for (const end of ['destroy', 'resetAndDestroy', 'end'] as const) {
      const raw = await rawWire(edge.port);
      const before = upstream.sockets.length;
      raw.send(handshake('/live'));
      await raw.until(/101/);
      upstream.sockets[before]?.[end]();
      await raw.untilClosed();
    }
    await eventually('nothing in flight', () => edge.edge.inFlight() === 0);
  });

  test('a protocol that half closes still gets its answer', async () => {
    const upstream = await serveRaw((socket) => {
      socket.write(SWITCHED);
      socket.on('end', () => socket.end('the whole answer'));
    });
    const edge = await edgeTo({ monolith: upstream.url });
    const raw = await rawWire(edge.port);
    raw.send(handshake('/live').replace('websocket', 'x'));
    await raw.until(/101/);
    raw.socket.end('question');
    expect(await raw.untilClosed()).toMatch(/the whole answer$/);
  });

  test('a side that does not read holds the other one back', async () => {
    const upstream = await serveRaw((socket) => socket.write(SWITCHED));
    const edge = await edgeTo({ monolith: upstream.url });
    const raw = connect(edge.port, '127.0.0.1');
    open.push({ close: () => void raw.destroy() });
    raw.on('error', () => undefined);
    raw.write(handshake('/live').replace('websocket', 'x'));
    await new Promise((resolve) => raw.once('data', resolve));
    raw.pause();
    const [far] = upstream.sockets;
    if (!far) throw new Error('no upstream connection');
    const total = 32 * 1024 * 1024;
    for (const writer of [far, raw]) {
      const reader = writer === far ? raw : far;
      reader.pause();
      writer.write(Buffer.alloc(total));
      // Meanwhile an edge that buffers would have taken all of it.
      for (let n = 0; n < 100; n++) await call(`${edge.url}/a//b`);
      expect(total - writer.bytesWritten + writer.writableLength).toBeGreaterThan(0);
      expect(writer.writableLength).toBeGreaterThan(0);
      let got = 0;
      reader.on('data', (chunk: Buffer) => (got += chunk.length));
      reader.resume();
      await eventually('the rest', () => got === total);
    }
  });
});
