// Content-Length: what is no number, what is two numbers, and bodies where few expect one.
import { forwards, get, head, post, refuses, type Case } from '../case.ts';

const length = (value: string, body = 'abc'): string => post(body, `Content-Length: ${value}`);

export const LENGTHS: readonly Case[] = [
  forwards('a length', length('3'), 'POST /a @shop "abc"'),
  forwards('a length of 0', length('0', ''), 'POST /a @shop'),
  forwards('no length', post(''), 'POST /a @shop'),
  forwards('a length with spaces round it', length(' 3 '), 'POST /a @shop "abc"'),
  forwards('a length with leading zeros', length('003'), 'POST /a @shop "abc"'),
  forwards(
    'a GET with a body',
    head('GET /a', 'Host: shop', 'Content-Length: 3') + 'abc',
    'GET /a @shop "abc"',
  ),
  forwards('a GET with a length of 0', get('/a', 'Content-Length: 0'), 'GET /a @shop'),
  forwards(
    'a HEAD with a body',
    head('HEAD /a', 'Host: shop', 'Content-Length: 3') + 'abc',
    'HEAD /a @shop "abc"',
  ),
  forwards(
    'a DELETE with a body',
    head('DELETE /a', 'Host: shop', 'Content-Length: 3') + 'abc',
    'DELETE /a @shop "abc"',
  ),
  forwards(
    'an OPTIONS with a body',
    head('OPTIONS /a', 'Host: shop', 'Content-Length: 3') + 'abc',
    'OPTIONS /a @shop "abc"',
  ),
  ...[
    '-3',
    '+3',
    '3.0',
    '3e0',
    '0x3',
    '3a',
    'a',
    '3,3',
    '3, 3',
    '3,4',
    '3 3',
    '3;',
    '"3"',
    '\x0b3',
    '3\0',
    '\xb3',
  ].map((value) => refuses(`Content-Length: ${JSON.stringify(value)}`, length(value))),
  refuses('an empty length', 'POST /a HTTP/1.1\r\nHost: shop\r\nContent-Length:\r\n\r\n'),
  refuses('a length beyond 64 bits', length('99999999999999999999')),
  refuses('a length that wraps round to 3', length('18446744073709551619')),
  refuses('two equal lengths', post('abc', 'Content-Length: 3', 'Content-Length: 3')),
  refuses('two lengths', post('abc', 'Content-Length: 3', 'Content-Length: 4')),
  refuses('two lengths in two spellings', post('abc', 'Content-Length: 3', 'CONTENT-LENGTH: 0')),
  refuses('a length after a space', post('abc', ' Content-Length: 3')),
  refuses('a length before a space', post('abc', 'Content-Length : 3')),
  {
    name: 'a length that is longer than the body',
    send: length('30'),
    arrives: [],
    then: 'waits',
  },
  forwards(
    'a request behind a body',
    length('3') + get('/b'),
    'POST /a @shop "abc"',
    'GET /b @shop',
  ),
  {
    name: 'a body that is longer than its length',
    send: length('3', 'abcdef\r\n\r\n'),
    // What follows is no request, and is known before this one has gone on.
    arrives: [],
    then: { refused: 400 },
  },
  {
    name: 'a body without a length',
    send: post('abc\r\n\r\n'),
    arrives: ['POST /a @shop'],
    then: { refused: 400 },
  },
  {
    name: 'a TRACE with a body',
    send: head('TRACE /a', 'Host: shop', 'Content-Length: 3') + 'abc',
    arrives: ['TRACE /a @shop "abc"'],
    then: 'in-step',
  },
];
