import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Peer } from './forwarded.ts';
import {
  cookieValue,
  readRequestHead,
  readResponseHead,
  readTrailers,
  type AnswerFrame,
  type RequestHead,
} from './headers.ts';

const PEER = { address: '10.0.0.9', proto: 'http', trusted: false } as const;
const WHOLE = { status: 200, bodiless: false, chunks: true };

/** Without Host it is read as HTTP/1.0's, which has none. */
function read(...raw: string[]): ReturnType<typeof readRequestHead> {
  return readRequestHead(raw, PEER, () => 'fresh', !raw.some((name) => /^host$/i.test(name)));
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
      ...['Host', 'shop', 'Connection', 'keep-alive, X-Secret', 'connection', 'x-more'],
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
      'host',
      'x-forwarded-for',
      'x-forwarded-host',
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

  test('a request id is kept from a trusted peer when it is safe to log, and made otherwise', () => {
    const idOf = (trusted: boolean, ...raw: string[]): string => {
      const head = readRequestHead(raw, { ...PEER, trusted }, () => 'fresh', true);
      if (head.kind === 'refused') throw new Error(head.why);
      expect(head.headers.filter((field) => /^x-request-id$/i.test(field))).toHaveLength(1);
      return head.requestId;
    };
    expect(idOf(true, 'X-Request-Id', 'abc-1')).toBe('abc-1');
    expect(idOf(false, 'X-Request-Id', 'abc-1')).toBe('fresh');
    expect(idOf(true)).toBe('fresh');
    expect(idOf(true, 'X-Request-Id', 'a b"}')).toBe('fresh');
    expect(idOf(true, 'X-Request-Id', 'a'.repeat(129))).toBe('fresh');
  });

  test('knows whether a body follows, and what the client expects', () => {
    expect(headOf().hasBody).toBe(false);
    expect(headOf('Content-Length', '0').hasBody).toBe(false);
    expect(headOf('Content-Length', '1').hasBody).toBe(true);
    expect(headOf('Host', 'a', 'Transfer-Encoding', 'Chunked').hasBody).toBe(true);
    expect(headOf('Host', 'a', 'Expect', '100-Continue').expectsContinue).toBe(true);
    expect(headOf('Upgrade', 'WebSocket').websocket).toBe(true);
    expect(headOf('Upgrade', 'h2c').websocket).toBe(false);
  });

  test.each([
    ['two Host fields', ['Host', 'a', 'host', 'b']],
    ['the same Host twice', ['Host', 'a', 'Host', 'a']],
    ['a Host with a path', ['Host', 'a/b']],
    ['a Host with a user', ['Host', 'u@a']],
    ['an empty Host', ['Host', '']],
    ['another expectation', ['Expect', 'magic']],
    ['two expectations', ['Expect', '100-continue', 'Expect', 'magic']],
    ['chunks without Host', ['Transfer-Encoding', 'chunked']],
    ['too many fields', Array.from({ length: 2_002 }, () => 'a')],
    ['a transfer coding besides chunked', ['Host', 'a', 'Transfer-Encoding', 'gzip, chunked']],
    [
      'two transfer codings',
      ['Host', 'a', 'Transfer-Encoding', 'chunked', 'Transfer-Encoding', 'identity'],
    ],
    [
      'a length and a transfer coding',
      ['Host', 'a', 'Content-Length', '3', 'Transfer-Encoding', 'chunked'],
    ],
  ])('refuses %s', (_, raw) => {
    expect(read(...raw).kind).toBe('refused');
  });
});

test('response fields of one hop stay there, all others pass, Set-Cookie one by one', () => {
  expect(
    readResponseHead(
      [
        ...['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2', 'Connection', 'close, X-Hop', 'X-Hop', '1'],
        ...['Transfer-Encoding', 'chunked', 'Keep-Alive', 'timeout=5', 'ETag', '"x"'],
      ],
      WHOLE,
    ),
  ).toEqual(['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2', 'ETag', '"x"']);
});

test('a cookie is found by its whole name', () => {
  expect(cookieValue('xa=1; a=2; b', 'a')).toBe('2');
  expect(cookieValue('a=x=y;b=', 'a')).toBe('x=y');
  expect(cookieValue('a=x=y;b=', 'b')).toBe('');
  expect(cookieValue('xa=1', 'a')).toBeUndefined();
  expect(cookieValue(undefined, 'a')).toBeUndefined();
});

describe('what proxies say about their clients', () => {
  const TRUSTED = { ...PEER, trusted: true };
  const HEARSAY = [
    ...['Host', 'shop:8080', 'X-Forwarded-For', '6.6.6.6', 'x-forwarded-for', '7.7.7.7'],
    ...[
      'X-Forwarded-Proto',
      'https',
      'X-Forwarded-Host',
      'shop.example',
      'X-Forwarded-Port',
      '443',
    ],
    ...['Forwarded', 'for=6.6.6.6;proto=https', 'X-Real-IP', '6.6.6.6', 'X-Forwarded-Prefix', '/x'],
    ...['X-Original-URL', '/api', 'X_Forwarded_For', '8.8.8.8'],
  ];
  const tail = (peer: Peer, ...raw: string[]): string[] => {
    const head = readRequestHead(raw, peer, () => 'fresh');
    if (head.kind === 'refused') throw new Error(head.why);
    return head.headers.slice(2);
  };

  test('from a trusted peer it is kept and carried on', () => {
    expect(tail(TRUSTED, ...HEARSAY)).toEqual([
      ...['x-request-id', 'fresh', 'X-Real-IP', '6.6.6.6', 'X-Forwarded-Prefix', '/x'],
      ...['X-Original-URL', '/api', 'x-forwarded-for', '6.6.6.6, 7.7.7.7, 10.0.0.9'],
      ...['X-Forwarded-Proto', 'https', 'X-Forwarded-Host', 'shop.example'],
      ...['X-Forwarded-Port', '443'],
      ...['forwarded', 'for=6.6.6.6;proto=https, for=10.0.0.9;host="shop:8080";proto=http'],
    ]);
  });

  test('from any other none of it is', () => {
    expect(tail(PEER, ...HEARSAY)).toEqual([
      ...['x-request-id', 'fresh', 'x-forwarded-for', '10.0.0.9', 'x-forwarded-proto', 'http'],
      ...['x-forwarded-host', 'shop:8080'],
    ]);
  });

  test('a trusted peer that says nothing is told like any other', () => {
    expect(tail(TRUSTED, 'Host', 'shop')).toEqual(tail(PEER, 'Host', 'shop'));
  });

  test('what is no protocol, host or port is said anew; of several the last counts', () => {
    expect(
      tail(
        { ...TRUSTED, address: '2001:db8::1' },
        ...[
          'Host',
          'shop',
          'X-Forwarded-Proto',
          'https',
          'X-Forwarded-Proto',
          'http',
          'Forwarded',
          'x=y',
        ],
        ...['X-Forwarded-Host', 'a"b', 'X-Forwarded-Port', '1a'],
      ),
    ).toEqual([
      ...['x-request-id', 'fresh', 'x-forwarded-for', '2001:db8::1', 'X-Forwarded-Proto', 'http'],
      ...['x-forwarded-host', 'shop', 'forwarded', 'x=y, for="[2001:db8::1]";host=shop;proto=http'],
    ]);
  });

  test('no Connection field takes it away', () => {
    expect(
      tail(TRUSTED, 'Host', 'a', 'Connection', 'X-Forwarded-For', 'X-Forwarded-For', '6.6.6.6'),
    ).toContain('6.6.6.6, 10.0.0.9');
  });
});

describe('answers', () => {
  const answer = (frame: Partial<AnswerFrame>, ...raw: string[]): unknown =>
    readResponseHead(raw, { ...WHOLE, ...frame });

  test('a body in another coding than chunked cannot be passed on', () => {
    expect(answer({}, 'Transfer-Encoding', 'gzip, chunked')).toMatchObject({ kind: 'refused' });
    expect(answer({}, 'Transfer-Encoding', 'Chunked')).toEqual([]);
    expect(answer({ bodiless: true }, 'Transfer-Encoding', 'gzip, chunked')).toEqual([]);
  });

  test('trailers are announced only where they can come', () => {
    expect(answer({}, 'Trailer', 'x')).toEqual(['Trailer', 'x']);
    expect(answer({}, 'Trailer', 'x', 'Content-Length', '1')).toEqual(['Content-Length', '1']);
    expect(answer({ chunks: false }, 'Trailer', 'x')).toEqual([]);
    expect(answer({ bodiless: true }, 'Trailer', 'x')).toEqual([]);
    expect(readTrailers(['X-Sum', '1', 'Content-Length', '9', 'Trailer', 'y'])).toEqual([
      'X-Sum',
      '1',
    ]);
  });

  test('a length passes with HEAD and 304, never with 204', () => {
    const length = ['Content-Length', '5'];
    expect(answer({ bodiless: true }, ...length)).toEqual(length);
    expect(answer({ bodiless: true, status: 304 }, ...length)).toEqual(length);
    expect(answer({ bodiless: true, status: 204 }, ...length)).toEqual([]);
  });
});

test('whatever a client sends, what passes has one host, one framing and nothing of ours', () => {
  const name = fc.constantFrom(
    ...[
      'Host',
      'host',
      'Connection',
      'Content-Length',
      'Transfer-Encoding',
      'X-Forwarded-For',
      'x_forwarded_for',
    ],
    ...[
      'Forwarded',
      'X-Banyan-A',
      'X_Banyan-A',
      'TE',
      'Trailer',
      'Upgrade',
      'Expect',
      'X-A',
      'Content_Length',
    ],
  );
  const value = fc.constantFrom(
    'a',
    '3',
    'chunked',
    'x-a, host',
    'content-length',
    '100-continue',
    '',
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value)), fc.boolean(), (pairs, isOld) => {
      const head = readRequestHead(pairs.flat(), PEER, () => 'fresh', isOld);
      if (head.kind === 'refused') return;
      const names = head.headers.filter((_, at) => at % 2 === 0).map((one) => one.toLowerCase());
      const count = (wanted: string): number => names.filter((one) => one === wanted).length;
      expect(count('host')).toBeLessThanOrEqual(1);
      expect(count('x-forwarded-for')).toBe(1);
      expect(head.headers[head.headers.indexOf('x-forwarded-for') + 1]).toBe('10.0.0.9');
      for (const hop of [
        'connection',
        'transfer-encoding',
        'te',
        'trailer',
        'upgrade',
        'expect',
        'forwarded',
      ])
        expect(count(hop)).toBe(0);
      expect(names.some((one) => /^x.banyan|_/.test(one))).toBe(false);
      if (pairs.some(([one]) => one === 'Transfer-Encoding'))
        expect(count('content-length')).toBe(0);
    }),
    { numRuns: 3_000 },
  );
});
