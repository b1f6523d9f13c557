import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { AnswerReader, type AnswerHead } from './answer-reader.ts';

const OK = 'HTTP/1.1 200 OK\r\n';

interface Read {
  readonly heads: AnswerHead[];
  body: string;
  trailers: readonly string[] | undefined;
  /** Of the bytes, those that were the answer's. */
  taken: number;
  error: string | undefined;
  persistence: AnswerReader['persistence'];
}

interface How {
  readonly method?: string;
  /** Where the bytes are cut in pieces. */
  readonly cuts?: readonly number[];
  /** The connection ends behind them. */
  readonly closes?: boolean;
  readonly headBytes?: number;
}

function read(
  text: string,
  { method = 'GET', cuts = [], closes, headBytes = 16_384 }: How = {},
): Read {
  const got: Read = {
    ...{ heads: [], body: '', trailers: undefined, taken: 0, error: undefined },
    persistence: undefined,
  };
  const reader = new AnswerReader(
    {
      onHead: (head) => got.heads.push(head),
      onBody: (piece) => {
        got.body += piece.toString('latin1');
      },
      onEnd: (trailers) => {
        got.trailers = trailers;
      },
    },
    headBytes,
  );
  reader.expect(method);
  const bytes = Buffer.from(text, 'latin1');
  const places = [0, ...[...cuts].sort((a, b) => a - b), bytes.length];
  try {
    for (const [at, from] of places.slice(0, -1).entries())
      got.taken += reader.take(bytes.subarray(from, places[at + 1]));
    if (closes) reader.close();
  } catch (error) {
    got.error = (error as Error).message;
  }
  got.persistence = reader.persistence;
  return got;
}

describe('an answer', () => {
  test.each<[string, string, How, Partial<Read>]>([
    ['with a length', `${OK}Content-Length: 5\r\n\r\nhello`, {}, { body: 'hello', trailers: [] }],
    ['without a body', `${OK}content-length: 0\r\n\r\n`, {}, { body: '', trailers: [] }],
    [
      'in chunks',
      `${OK}Transfer-Encoding: Chunked\r\n\r\n5 ;a="b"\r\nhello\r\n00A\r\n0123456789\r\n0\r\n\r\n`,
      {},
      { body: 'hello0123456789', trailers: [] },
    ],
    [
      'in chunks, with trailers',
      `${OK}Transfer-Encoding: chunked\r\n\r\n1;x\r\n!\r\n0\r\nA: 1\r\nb:\t2 \r\n\r\n`,
      {},
      { body: '!', trailers: ['A', '1', 'b', '2'] },
    ],
    [
      'up to the end of its connection',
      `${OK}\r\nhello`,
      { closes: true },
      { body: 'hello', trailers: [], persistence: 'none' },
    ],
    ['to HEAD', `${OK}Content-Length: 5\r\n\r\n`, { method: 'HEAD' }, { body: '', trailers: [] }],
    [
      'to HEAD, in chunks',
      `${OK}Transfer-Encoding: chunked\r\n\r\n`,
      { method: 'HEAD' },
      { body: '', trailers: [] },
    ],
    ['204', 'HTTP/1.1 204 No Content\r\n\r\n', {}, { body: '', trailers: [] }],
    [
      '304 with a length',
      'HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n',
      {},
      { body: '', trailers: [] },
    ],
    ['without a reason', 'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n', {}, { trailers: [] }],
  ])('%s is read, however its bytes come', (_, text, how, expected) => {
    const whole = read(text, how);
    expect(whole).toMatchObject({ ...expected, error: undefined, taken: text.length });
    const bytewise = Array.from({ length: text.length - 1 }, (_none, at) => at + 1);
    expect(read(text, { ...how, cuts: bytewise })).toEqual(whole);
  });

  test('keeps its fields, byte for byte, without the white space round values', () => {
    const text = `HTTP/1.1 201 Sch\xf6n\r\nX-A:  \t caf\xe9 \xa0b\x85 \t\r\nx-a:\r\nSet-Cookie: a: b\r\nContent-Length: 0\r\n\r\n`;
    expect(read(text).heads).toEqual([
      {
        ...{ status: 201, message: 'Sch\xf6n', length: 0 },
        headers: [
          ...['X-A', 'caf\xe9 \xa0b\x85', 'x-a', '', 'Set-Cookie', 'a: b'],
          ...['Content-Length', '0'],
        ],
      },
    ]);
  });

  test('comes behind interim ones', () => {
    const text = `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 x\r\n\r\n${OK}Content-Length: 2\r\n\r\nok`;
    const { heads, body } = read(text);
    expect(heads.map(({ status }) => status)).toEqual([103, 102, 200]);
    expect(body).toBe('ok');
  });

  test('ends where it ends: what stands behind it is not its own', () => {
    const text = `${OK}Content-Length: 2\r\n\r\nok`;
    const stray = `${OK}Content-Length: 6\r\n\r\nstolen`;
    expect(read(text + stray)).toMatchObject({ body: 'ok', taken: text.length });
    expect(read(`HTTP/1.1 204 x\r\n\r\n${stray}`)).toMatchObject({ body: '', taken: 18 });
    const chunked = `${OK}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`;
    expect(read(chunked + stray)).toMatchObject({ body: '', taken: chunked.length });
  });

  test.each([
    ['HTTP/1.1 200 OK\r\nContent-Length: 0\r\n', undefined],
    [
      'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\nKeep-Alive: timeout=7, max=9\r\n',
      7_000,
    ],
    ['HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n', 'none'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x\r\nConnection: close\r\n', 'none'],
    ['HTTP/1.0 200 OK\r\nContent-Length: 0\r\n', 'none'],
    ['HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n', undefined],
    ['HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive, close\r\n', 'none'],
  ])('%j says whether its connection stays', (head, persistence) => {
    expect(read(`${head}\r\n`)).toMatchObject({ trailers: [], persistence });
  });

  test.each([
    ['no status line', 'SSH-2.0-OpenSSH\r\n\r\n'],
    ['another version', 'HTTP/2.0 200 OK\r\n\r\n'],
    ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
    ['a status of four digits', 'HTTP/1.1 2000 OK\r\n\r\n'],
    ['an empty line first', `\r\n${OK}Content-Length: 0\r\n\r\n`],
    ['a NUL in its reason', 'HTTP/1.1 200 O\0K\r\n\r\n'],
    ['a switch of protocols', 'HTTP/1.1 101 x\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'],
    ['a line without a colon', `${OK}X-A\r\n\r\n`],
    ['a field without a name', `${OK}: 1\r\n\r\n`],
    ['white space before a colon', `${OK}X-A : 1\r\n\r\n`],
    ['a name that is no token', `${OK}X(A): 1\r\n\r\n`],
    ['a name with bytes beyond ASCII', `${OK}X\xe9: 1\r\n\r\n`],
    ['a folded line', `${OK}X-A: 1\r\n 2\r\n\r\n`],
    ['a folded first line', `${OK} X-A: 1\r\n\r\n`],
    ['a NUL in a field', `${OK}X-A: a\0b\r\n\r\n`],
    ['a control character in a field', `${OK}X-A: a\x1bb\r\n\r\n`],
    ['a DEL in a field', `${OK}X-A: a\x7fb\r\n\r\n`],
    ['a bare LF in a field', `${OK}X-A: a\nb: c\r\n\r\n`],
    ['a bare CR in a field', `${OK}X-A: a\rb: c\r\n\r\n`],
    ['a bare LF behind the status line', 'HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n'],
    ['a length and a coding', `${OK}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`],
    ['two lengths', `${OK}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`],
    ['the same length twice', `${OK}Content-Length: 1\r\nContent-Length: 1\r\n\r\n`],
    ['a list of lengths', `${OK}Content-Length: 1, 1\r\n\r\n`],
    ['a signed length', `${OK}Content-Length: +1\r\n\r\n`],
    ['a hexadecimal length', `${OK}Content-Length: 0x1\r\n\r\n`],
    ['an empty length', `${OK}Content-Length:\r\n\r\n`],
    ['a length beyond numbers', `${OK}Content-Length: 99999999999999999999\r\n\r\n`],
    ['another coding', `${OK}Transfer-Encoding: gzip, chunked\r\n\r\n`],
    ['chunked twice', `${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`],
    ['a coding that is not last', `${OK}Transfer-Encoding: chunked, identity\r\n\r\n`],
    ['a coding with a vertical tab', `${OK}Transfer-Encoding: \x0bchunked\r\n\r\n`],
    ['an empty coding', `${OK}Transfer-Encoding:\r\n\r\n`],
    ['a coding by HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['a chunk without a size', `${OK}Transfer-Encoding: chunked\r\n\r\n\r\n`],
    ['a signed size', `${OK}Transfer-Encoding: chunked\r\n\r\n+1\r\nx\r\n`],
    ['a size with 0x', `${OK}Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n`],
    ['a size and more', `${OK}Transfer-Encoding: chunked\r\n\r\n1 2\r\nx\r\n`],
    ['a size beyond numbers', `${OK}Transfer-Encoding: chunked\r\n\r\n10000000000000001\r\nx`],
    ['a size whose line ends with LF', `${OK}Transfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n`],
    ['a size behind white space', `${OK}Transfer-Encoding: chunked\r\n\r\n 1\r\nx\r\n`],
    ['a bare CR in an extension', `${OK}Transfer-Encoding: chunked\r\n\r\n1;a\rb\r\nx\r\n`],
    ['a bare LF in an extension', `${OK}Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\nx\r\n`],
    ['a chunk that is longer', `${OK}Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n`],
    ['a chunk that ends with LF', `${OK}Transfer-Encoding: chunked\r\n\r\n1\r\nx\n0\r\n\r\n`],
    ['a trailer that is no field', `${OK}Transfer-Encoding: chunked\r\n\r\n0\r\nX\r\n\r\n`],
    ['an extension without end', `${OK}Transfer-Encoding: chunked\r\n\r\n1;${'x'.repeat(5_000)}`],
    ['a head without end', `${OK}X: ${'x'.repeat(20_000)}`],
    ['a head that is too long', `${OK}X: ${'x'.repeat(20_000)}\r\n\r\n`],
    [
      'trailers without end',
      `${OK}Transfer-Encoding: chunked\r\n\r\n0\r\nX: ${'x'.repeat(20_000)}`,
    ],
    ['interim answers without end', 'HTTP/1.1 102 x\r\n\r\n'.repeat(65)],
  ])('with %s is malformed, however its bytes come', (_, text) => {
    expect(read(text)).toMatchObject({ trailers: undefined, error: expect.any(String) });
    const bytewise = Array.from({ length: text.length - 1 }, (_none, at) => at + 1);
    expect(read(text, { cuts: bytewise })).toMatchObject({
      ...{ trailers: undefined, error: expect.any(String) },
    });
  });

  test.each([
    `${OK}Content-Le`,
    `${OK}Content-Length: 5\r\n\r\nhell`,
    `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`,
    `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n`,
    'HTTP/1.1 103 Early Hints\r\n\r\n',
  ])('that breaks off (%j) is malformed', (text) => {
    expect(read(text, { closes: true })).toMatchObject({
      ...{ trailers: undefined, error: expect.stringContaining('breaks off') },
    });
  });

  test('of any body, in any framing and pieces, is what was sent', () => {
    const piece = fc
      .uint8Array({ minLength: 1, maxLength: 40 })
      .map((bytes) => Buffer.from(bytes).toString('latin1'));
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 6 }),
        fc.constantFrom('length', 'chunks', 'close'),
        fc.array(fc.nat(400), { maxLength: 12 }),
        (pieces, framing, cuts) => {
          const body = pieces.join('');
          const text = {
            length: `${OK}Content-Length: ${body.length}\r\n\r\n${body}`,
            chunks: `${OK}Transfer-Encoding: chunked\r\n\r\n${pieces.map((one) => `${one.length.toString(16)}\r\n${one}\r\n`).join('')}0\r\n\r\n`,
            close: `${OK}\r\n${body}`,
          }[framing];
          const inside = cuts.filter((cut) => cut > 0 && cut < text.length);
          expect(read(text, { cuts: inside, closes: framing === 'close' })).toMatchObject({
            ...{ body, trailers: [], error: undefined, taken: text.length },
          });
        },
      ),
    );
  });
});
