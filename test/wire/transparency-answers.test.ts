// Answers, direct against proxied, byte for byte: the same request to the same upstream, once without
// the facade and once through it. answer.ts names what may differ; nothing else may, but for answers
// that are malformed, which have cases of their own.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { serve, serveBytes, wire, type TestServer } from '../support/http.ts';
import { readRequest } from '../support/recorder.ts';
import { serveEdge, type TestEdge } from '../support/edge.ts';
import { dataServer } from '../../facade/server.ts';
import { answersOf, type Answer } from './answer.ts';
import { get, head } from './case.ts';

let front: TestServer;
let edge: TestEdge;
let upstreamPort = 0;
let answer = '';
const closers: (() => Promise<void>)[] = [];

beforeAll(async () => {
  const upstream = await serveBytes((socket) => {
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      const next = readRequest(text);
      if (!next) return;
      text = text.slice(next.length);
      socket.write(answer, 'latin1');
      // A body that ends with its connection, or an answer that says so.
      if (/\r\nconnection: close\r\n/i.test(answer)) socket.end();
    });
  });
  upstreamPort = Number(new URL(upstream.url).port);
  edge = await serveEdge({ monolith: upstream.url });
  front = await serve(() => undefined, dataServer(edge.edge));
  closers.push(upstream.close, edge.close, front.close);
});

afterAll(async () => {
  for (const close of closers.reverse()) await close();
});

describe('an answer', () => {
  const OK = 'HTTP/1.1 200 OK\r\n';
  test.each([
    ['with a length', `${OK}Content-Length: 5\r\n\r\nhello`],
    ['without a body', `${OK}Content-Length: 0\r\n\r\n`],
    ['in chunks', `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n`],
    [
      'in chunks, with trailers',
      `${OK}Trailer: X-Sum, X-Other\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\nx-other: \xe9\r\n\r\n`,
    ],
    ['in chunks, without any', `${OK}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['that ends with its connection', `${OK}Connection: close\r\n\r\nhello`],
    ['whose connection closes', `${OK}Connection: close\r\nContent-Length: 5\r\n\r\nhello`],
    [
      'that nominates a field',
      `${OK}Connection: keep-alive\r\nKeep-Alive: timeout=9\r\nContent-Length: 0\r\n\r\n`,
    ],
    [
      'with fields in odd spellings',
      `${OK}CONTENT-length: 2\r\neTag: W/"x"\r\nx-MiXeD: 1\r\nServer: Apache/1.3\r\n\r\nok`,
    ],
    [
      'with repeated fields',
      `${OK}Set-Cookie: a=1; Path=/\r\nX-A: 1\r\nset-cookie: b=2\r\nX-A: 2\r\nVary: a\r\nVary: b\r\nSet-Cookie: a=3\r\nContent-Length: 0\r\n\r\n`,
    ],
    [
      'with a Date of its own',
      `${OK}Date: Tue, 01 Jan 1980 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n`,
    ],
    [
      'with bytes beyond ASCII',
      `${OK}X-Name: caf\xc3\xa9 \xff\r\nContent-Length: 3\r\n\r\n\x00\xff\xfe`,
    ],
    ['with an empty field', `${OK}X-Empty:\r\nContent-Length: 0\r\n\r\n`],
    ['with a field of its hop', `${OK}Connection: close, X-Hop\r\nContent-Length: 0\r\n\r\n`],
    [
      'with a compressed body',
      `${OK}Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00`,
    ],
    ['201 with another reason', 'HTTP/1.1 201 Made for you\r\nContent-Length: 0\r\n\r\n'],
    ['without a reason', 'HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n'],
    ['with a reason in UTF-8', 'HTTP/1.1 200 Sch\xc3\xb6n\r\nContent-Length: 0\r\n\r\n'],
    ['with a reason in no known coding', 'HTTP/1.1 200 Sch\xf6n\r\nContent-Length: 0\r\n\r\n'],
    ['204', 'HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n'],
    ['205', 'HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n'],
    [
      '206',
      'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nhe',
    ],
    [
      '301',
      'HTTP/1.1 301 Moved Permanently\r\nLocation: http://elsewhere//a/../b\r\nContent-Length: 0\r\n\r\n',
    ],
    ['304', 'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n'],
    ['304 with a length', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: "x"\r\n\r\n'],
    [
      '401',
      'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="a"\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n',
    ],
    ['418', "HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n"],
    [
      '500 with a body',
      'HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\noops',
    ],
    ['503 with Retry-After', 'HTTP/1.1 503 Busy\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n'],
    ['599', 'HTTP/1.1 599 Whatever\r\nContent-Length: 0\r\n\r\n'],
    ['of 100 KB', `${OK}Content-Length: 100000\r\n\r\n${'x'.repeat(100_000)}`],
    [
      'behind early hints',
      `HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nLink: </b.js>; rel=preload\r\n\r\n${OK}Content-Length: 0\r\n\r\n`,
    ],
    ['behind a sign of progress', `HTTP/1.1 102 Processing\r\n\r\n${OK}Content-Length: 0\r\n\r\n`],
    ['by HTTP/1.0', 'HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello'],
  ])('%s is the same', async (_, given) => {
    answer = given;
    expect(await proxied(get('/a'))).toEqual(await direct(get('/a')));
  });

  test.each([
    ['a length', `${OK}Content-Length: 1000\r\nETag: "x"\r\n\r\n`],
    ['no length', `${OK}ETag: "x"\r\n\r\n`],
    ['chunks', `${OK}Transfer-Encoding: chunked\r\n\r\n`],
    ['a trailer to come', `${OK}X-A: 1\r\n\r\n`],
  ])('to HEAD, with %s, is the same', async (_, given) => {
    answer = given;
    const request = head('HEAD /a', 'Host: shop');
    expect(await proxied(request)).toEqual(await direct(request));
  });

  test('to HTTP/1.0 has no chunks, and ends its connection', async () => {
    answer = `${OK}Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n`;
    const client = await wire(front.port);
    client.send('GET /a HTTP/1.0\r\nHost: shop\r\n\r\n');
    const text = await client.untilClosed();
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nhello$/);
    expect(text).not.toMatch(/chunked|trailer/i);
  });

  test('is not behind a 100 that nobody expected', async () => {
    answer = `HTTP/1.1 100 Continue\r\n\r\n${OK}Content-Length: 2\r\n\r\nok`;
    const client = await wire(front.port);
    client.send(get('/a'));
    expect(await client.until(/ok$/)).toMatch(/^HTTP\/1\.1 200 OK/);
    client.socket.destroy();
  });

  test('to HTTP/1.0 is never behind an interim one', async () => {
    answer = `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${OK}Content-Length: 0\r\n\r\n`;
    const client = await wire(front.port);
    client.send('GET /a HTTP/1.0\r\nHost: shop\r\n\r\n');
    expect(await client.untilClosed()).toMatch(/^HTTP\/1\.1 200 OK/);
  });

  test.each([
    [
      'a length with 204',
      'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\nX-A: 1\r\n\r\n',
      /^HTTP\/1\.1 204 No Content\r\nX-A: 1\r\n(?![^]*content-length)/i,
    ],
    [
      'a trailer beside a length',
      `${OK}Trailer: X\r\nContent-Length: 2\r\n\r\nok`,
      /^HTTP\/1\.1 200 OK\r\nContent-Length: 2\r\n(?![^]*trailer)/i,
    ],
    [
      'a trailer with HEAD',
      `${OK}Trailer: X\r\nContent-Length: 2\r\n\r\n`,
      /^HTTP\/1\.1 200 OK\r\nContent-Length: 2\r\n(?![^]*trailer)/i,
    ],
  ])('that is malformed is mended: %s', async (name, given, expected) => {
    answer = given;
    const client = await wire(front.port);
    client.send(name.endsWith('HEAD') ? head('HEAD /a', 'Host: shop') : get('/a'));
    expect(await client.until(/\r\n\r\n/)).toMatch(expected);
    client.socket.destroy();
  });

  test.each([
    [
      'another transfer coding',
      `${OK}Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`,
    ],
    [
      'a protocol nobody asked for',
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
    ],
    ['two lengths', `${OK}Content-Length: 1\r\nContent-Length: 2\r\n\r\nok`],
    ['a control byte in a field', `${OK}X-A: a\x01b\r\nContent-Length: 0\r\n\r\n`],
  ])('that cannot be passed on is 502: %s', async (_, given) => {
    answer = given;
    const client = await wire(front.port);
    client.send(get('/a'));
    expect(await client.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 502 /);
    client.socket.destroy();
  });
});

async function direct(request: string): Promise<Answer[]> {
  return answersOf(await wire(upstreamPort), request);
}

async function proxied(request: string): Promise<Answer[]> {
  return answersOf(await wire(front.port), request);
}
