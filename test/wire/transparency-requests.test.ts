// Requests, as sent against as arrived, byte for byte. What a hop may add, drop or put elsewhere is named
// here; nothing else may differ.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually, wire } from '../support/http.ts';
import { readRequest, valuesOf } from '../support/recorder.ts';
import { get, head, post } from './case.ts';
import { startWire, type WireEdge } from './wire-edge.ts';

const ADDED = new Set(['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'x-request-id']);
const DROPPED = new Set(['connection', 'keep-alive', 'te', 'expect', 'proxy-authorization']);

describe('a request', () => {
  let edge: WireEdge;

  beforeAll(async () => {
    edge = await startWire();
  });

  afterAll(async () => {
    await edge.close();
  });

  test.each([
    ['plain', get('/a?b=c')],
    ['with fields in odd spellings', get('/a', 'ACCEPT: */*', 'x-MiXeD: 1', 'User-agent: x')],
    [
      'with repeated fields',
      get('/a', 'X-A: 1', 'Accept: a', 'X-A: 2', 'Accept: b', 'Cookie: a=1', 'Cookie: b=2'),
    ],
    ['with bytes beyond ASCII', get('/a', 'X-Name: caf\xc3\xa9 \xff')],
    ['with an empty field', get('/a', 'X-Empty:')],
    ['with credentials', get('/a', 'Authorization: Basic eDp5', 'Proxy-Authorization: Basic x')],
    [
      'with conditions',
      get('/a', 'If-None-Match: "x"', 'Range: bytes=0-1', 'Cache-Control: no-cache'),
    ],
    ['with a Via of others', get('/a', 'Via: 1.1 cdn')],
    [
      'with a trace',
      get('/a', 'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'),
    ],
    ['with a body', post('hello', 'Content-Type: text/plain', 'Content-Length: 5')],
    [
      'with a body behind an expectation',
      post('hello', 'Expect: 100-continue', 'Content-Length: 5'),
    ],
    [
      'with fields of its hop',
      get('/a', 'Connection: keep-alive', 'Keep-Alive: 5', 'TE: trailers'),
    ],
    [
      'with a target of many marks',
      get("/a;b=c/d,e/~f/(g)/h!i/j'k/l*m/$n/@o/p:q/r=s/t+u/v&w?x[]=y|z&{}=%2F#f"),
    ],
    [
      'PROPFIND with a body',
      head('PROPFIND /dav', 'Host: shop', 'Depth: 1', 'Content-Length: 2') + 'ok',
    ],
  ])('%s arrives the same', async (_, sent) => {
    edge.forget();
    const client = await wire(edge.port);
    client.send(sent);
    await client.until(/HTTP\/1\.1 200/);
    client.socket.destroy();
    const [arrived] = edge.monolith.received();
    const meant = readRequest(sent);
    expect(arrived && { ...arrived, fields: without(arrived.fields, ADDED, DROPPED) }).toEqual(
      meant && { ...meant.request, fields: without(meant.request.fields, DROPPED) },
    );
    expect(arrived?.fields.filter((_name, at) => at % 2 === 0)).toEqual(
      expect.arrayContaining(['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host']),
    );
    expect(valuesOf(arrived?.fields ?? [], 'x-request-id')).toHaveLength(1);
  });

  // Framing is of the hop. What has no length yet when its head goes out, goes in chunks.
  test.each([
    ['whole with its head, with its length', '0\r\n\r\n', '', 'content-length', '5'],
    ['by and by, in chunks', '', '0\r\n\r\n', 'transfer-encoding', 'chunked'],
  ])('in chunks that come %s, arrives the same', async (_, along, later, framing, value) => {
    edge.forget();
    const client = await wire(edge.port);
    client.send(post(`5\r\nhello\r\n${along}`, 'Transfer-Encoding: chunked', 'X-A: 1'));
    await eventually('its first bytes', () => edge.monolith.streams.some((bytes) => bytes !== ''));
    client.send(later);
    await client.until(/HTTP\/1\.1 200/);
    client.socket.destroy();
    const [arrived] = edge.monolith.received();
    expect(arrived).toMatchObject({ method: 'POST', target: '/a', body: 'hello' });
    expect(without(arrived?.fields ?? [], ADDED, DROPPED)).toEqual([
      ...['Host', 'shop', 'X-A', '1'],
      ...[framing, value],
    ]);
  });
});

/** Fields but those of the sets; framing at the end. */
function without(fields: readonly string[], ...sets: readonly ReadonlySet<string>[]): string[] {
  const kept: string[] = [];
  const framing: string[] = [];
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const name = fields[at] ?? '';
    const lower = name.toLowerCase();
    const value = fields[at + 1] ?? '';
    if (sets.some((set) => set.has(lower))) continue;
    if (lower === 'content-length' || lower === 'transfer-encoding') framing.push(lower, value);
    else kept.push(name, value);
  }
  return [...kept, ...framing];
}
