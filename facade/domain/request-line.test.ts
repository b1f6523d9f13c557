import { describe, expect, test } from '@jest/globals';
import { requestHead, Unforwardable, type Body, type Line } from './request-line.ts';

const of = (line: Partial<Line>, body: Body = 'none'): string =>
  requestHead(
    { method: 'GET', path: '/a', headers: ['Host', 'shop'], host: 'up:1', ...line },
    body,
  );

describe('the head of a request', () => {
  test('has its fields in their order and spelling', () => {
    const headers = ['X-B', '1', 'hOST', 'shop', 'x-b', 'caf\xe9', 'Empty', ''];
    expect(of({ path: '/a?b=c', headers })).toBe(
      'GET /a?b=c HTTP/1.1\r\nX-B: 1\r\nhOST: shop\r\nx-b: caf\xe9\r\nEmpty: \r\n\r\n',
    );
  });

  test('names the upstream where nobody else is named', () => {
    expect(of({ headers: ['A', '1'] })).toBe('GET /a HTTP/1.1\r\nhost: up:1\r\nA: 1\r\n\r\n');
  });

  test.each<[string, string[], Body, string]>([
    ['GET', [], 'none', ''],
    ['POST', [], 'none', 'content-length: 0\r\n'],
    ['POST', ['Content-Length', '0'], 'none', 'Content-Length: 0\r\n'],
    ['POST', ['Content-Length', '5'], 5, 'Content-Length: 5\r\n'],
    ['POST', [], 5, 'content-length: 5\r\n'],
    ['GET', [], 5, 'content-length: 5\r\n'],
    ['POST', [], 'chunked', 'transfer-encoding: chunked\r\n'],
  ])('%s with %j and a body of %s says how that is framed', (method, headers, body, framing) => {
    expect(of({ method, headers: ['Host', 'shop', ...headers] }, body)).toBe(
      `${method} /a HTTP/1.1\r\nHost: shop\r\n${framing}\r\n`,
    );
  });

  test.each<[string, Partial<Line>, Body]>([
    ['a line break in a value', { headers: ['A', 'b\r\nC: d'] }, 'none'],
    ['a bare LF in a value', { headers: ['A', 'b\nC: d'] }, 'none'],
    ['a NUL in a value', { headers: ['A', 'b\0'] }, 'none'],
    ['a value that is no latin-1', { headers: ['A', '\u010a'] }, 'none'],
    ['a line break in a name', { headers: ['A\r\nB', 'c'] }, 'none'],
    ['a colon in a name', { headers: ['A:', 'c'] }, 'none'],
    ['no name', { headers: ['', 'c'] }, 'none'],
    ['a space in the target', { path: '/a HTTP/1.1' }, 'none'],
    ['a line break in the target', { path: '/a\r\nX: y' }, 'none'],
    ['a target that is no latin-1', { path: '/\u010a' }, 'none'],
    ['no target', { path: '' }, 'none'],
    ['a method that is no token', { method: 'GET /b HTTP/1.1\r\n' }, 'none'],
    ['a coding that somebody else says', { headers: ['Transfer-Encoding', 'chunked'] }, 'chunked'],
    ['another length', { headers: ['Content-Length', '4'] }, 5],
    ['a length for no body', { headers: ['Content-Length', '4'] }, 'none'],
    ['a length and chunks', { headers: ['Content-Length', '4'] }, 'chunked'],
    ['a length that is no number', { headers: ['Content-Length', 'x'] }, 5],
  ])('is not written with %s', (_, line, body) => {
    expect(() => of(line, body)).toThrow(Unforwardable);
  });
});
