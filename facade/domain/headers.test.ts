import { describe, expect, test } from '@jest/globals';
import { cookieValue, readRequestHead, readResponseHead, type RequestHead } from './headers.ts';

const PEER = { address: '10.0.0.9', proto: 'http' } as const;

function read(...raw: string[]): ReturnType<typeof readRequestHead> {
  return readRequestHead(raw, PEER, () => 'fresh');
}

function headOf(...raw: string[]): RequestHead {
  const head = read(...raw);
  if (head.kind === 'refused') throw new Error(head.why);
  return head;
}

function fields(...raw: string[]): Record<string, string> {
  const { headers } = headOf(...raw);
  const found: Record<string, string> = {};
  for (let at = 0; at < headers.length; at += 2) {
    const name = (headers[at] ?? '').toLowerCase();
    found[name] =
      found[name] === undefined ? (headers[at + 1] ?? '') : `${found[name]} | ${headers[at + 1]}`;
  }
  return found;
}

describe('request fields', () => {
  test('end-to-end fields pass in their order and spelling, repeated ones too', () => {
    const { headers } = headOf('Host', 'shop', 'X-Thing', 'a', 'x-thing', 'b', 'Cookie', 'c=1');
    expect(headers.slice(0, 8)).toEqual([
      'Host',
      'shop',
      'X-Thing',
      'a',
      'x-thing',
      'b',
      'Cookie',
      'c=1',
    ]);
  });

  test('fields of this hop stay here, and those that Connection nominates', () => {
    const passed = fields(
      ...['Connection', 'keep-alive, X-Secret', 'connection', 'x-more'],
      ...[
        'Keep-Alive',
        'timeout=5',
        'X-Secret',
        '1',
        'X-More',
        '2',
        'TE',
        'trailers',
        'Upgrade',
        'h2c',
      ],
      ...[
        'Proxy-Authorization',
        'p',
        'Proxy-Connection',
        'k',
        'Trailer',
        't',
        'Expect',
        '100-continue',
      ],
      ...['Transfer-Encoding', 'chunked', 'HTTP2-Settings', 's', 'Accept', '*/*'],
    );
    expect(Object.keys(passed).sort()).toEqual([
      'accept',
      'x-forwarded-for',
      'x-forwarded-proto',
      'x-request-id',
    ]);
  });

  test('a client cannot make us drop what frames or authenticates its request', () => {
    const passed = fields(
      ...[
        'Host',
        'shop',
        'Connection',
        'Host, Content-Length, Authorization, X-Forwarded-For, Cookie',
      ],
      ...['Content-Length', '3', 'Authorization', 'a', 'Cookie', 'c=1'],
    );
    expect(passed).toMatchObject({
      host: 'shop',
      'content-length': '3',
      authorization: 'a',
      cookie: 'c=1',
    });
    expect(passed['x-forwarded-for']).toBe('10.0.0.9');
  });

  test('only the facade says who the client is, in any spelling', () => {
    const passed = fields(
      ...[
        'Host',
        'shop',
        'X-Forwarded-For',
        '6.6.6.6',
        'X_Forwarded_For',
        '6.6.6.6',
        'Forwarded',
        'for=6',
      ],
      ...['X-Forwarded-Host', 'evil', 'x-forwarded-proto', 'https', 'X-Forwarded-Prefix', '/x'],
      ...[
        'X-Banyan-Shadow',
        '1',
        'x_banyan-path',
        'service',
        'Content_Length',
        '7',
        'X_Request_Id',
        'e',
      ],
    );
    expect(passed).toEqual({
      host: 'shop',
      'x-forwarded-for': '10.0.0.9',
      'x-forwarded-host': 'shop',
      'x-forwarded-proto': 'http',
      'x-request-id': 'fresh',
    });
  });

  test('a request id is kept when it is safe to log, and made when there is none', () => {
    expect(headOf('X-Request-Id', 'abc-1').requestId).toBe('abc-1');
    expect(headOf().requestId).toBe('fresh');
    expect(headOf('X-Request-Id', 'a b"}').requestId).toBe('fresh');
    expect(headOf('X-Request-Id', 'a'.repeat(129)).requestId).toBe('fresh');
  });

  test('knows whether a body follows, and what the client expects', () => {
    expect(headOf().hasBody).toBe(false);
    expect(headOf('Content-Length', '0').hasBody).toBe(false);
    expect(headOf('Content-Length', '1').hasBody).toBe(true);
    expect(headOf('Transfer-Encoding', 'Chunked').hasBody).toBe(true);
    expect(headOf('Expect', '100-Continue').expectsContinue).toBe(true);
    expect(headOf('Upgrade', 'WebSocket').websocket).toBe(true);
    expect(headOf('Upgrade', 'h2c').websocket).toBe(false);
  });

  test.each([
    ['two Host fields', ['Host', 'a', 'host', 'b']],
    ['the same Host twice', ['Host', 'a', 'Host', 'a']],
    ['a Host with a path', ['Host', 'a/b']],
    ['a Host with a user', ['Host', 'u@a']],
    ['a transfer coding besides chunked', ['Transfer-Encoding', 'gzip, chunked']],
    ['two transfer codings', ['Transfer-Encoding', 'chunked', 'Transfer-Encoding', 'identity']],
    ['a length and a transfer coding', ['Content-Length', '3', 'Transfer-Encoding', 'chunked']],
  ])('refuses %s', (_, raw) => {
    expect(read(...raw).kind).toBe('refused');
  });
});

test('response fields of one hop stay there, all others pass, Set-Cookie one by one', () => {
  expect(
    readResponseHead([
      ...['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2', 'Connection', 'close, X-Hop', 'X-Hop', '1'],
      ...['Transfer-Encoding', 'chunked', 'Keep-Alive', 'timeout=5', 'ETag', '"x"'],
    ]),
  ).toEqual(['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2', 'ETag', '"x"']);
});

test('a cookie is found by its whole name', () => {
  expect(cookieValue('xa=1; a=2; b', 'a')).toBe('2');
  expect(cookieValue('a=x=y;b=', 'a')).toBe('x=y');
  expect(cookieValue('a=x=y;b=', 'b')).toBe('');
  expect(cookieValue('xa=1', 'a')).toBeUndefined();
  expect(cookieValue(undefined, 'a')).toBeUndefined();
});
