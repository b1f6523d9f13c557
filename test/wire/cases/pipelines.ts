// Several requests in one piece: what was meant as one stays one, what was hidden in another's body
// never comes out, and behind an error nothing is heard any more.
import { chunked, forwards, get, head, post, refuses, type Case } from '../case.ts';

const SMUGGLED = get('/smuggled');
const CHUNKED = 'Transfer-Encoding: chunked';
const lengthOf = (text: string): string => `Content-Length: ${text.length}`;

export const PIPELINES: readonly Case[] = [
  forwards(
    'three requests',
    get('/1') + get('/2') + get('/3'),
    'GET /1 @shop',
    'GET /2 @shop',
    'GET /3 @shop',
  ),
  forwards(
    'an empty line between requests',
    `${get('/1')}\r\n${get('/2')}`,
    'GET /1 @shop',
    'GET /2 @shop',
  ),
  forwards(
    'a request as a body',
    post(SMUGGLED, lengthOf(SMUGGLED)) + get('/b'),
    `POST /a @shop "${SMUGGLED}"`,
    'GET /b @shop',
  ),
  forwards(
    'a request as the body of a GET (CL.0)',
    head('GET /a', 'Host: shop', lengthOf(SMUGGLED)) + SMUGGLED,
    `GET /a @shop "${SMUGGLED}"`,
  ),
  forwards(
    'a request in a chunk',
    chunked(`${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`),
    `POST /a @shop "${SMUGGLED}"`,
  ),
  {
    name: 'a request behind Connection: close',
    send: get('/1', 'Connection: close') + SMUGGLED,
    arrives: ['GET /1 @shop'],
    then: { refused: 400 },
  },
  {
    name: 'garbage behind a request',
    send: `${get('/1')}garbage\r\n\r\n`,
    arrives: ['GET /1 @shop'],
    then: { refused: 400 },
  },
  {
    name: 'a malformed request behind a proper one',
    send: get('/1') + get('/2', 'X-A : b'),
    arrives: ['GET /1 @shop'],
    then: { refused: 400 },
  },
  refuses('a request behind a malformed one', get('/a', 'X-A : b') + SMUGGLED),
  refuses('a request behind a refused target', get('/a/../api/products') + SMUGGLED),
  refuses(
    'a write behind a refused target',
    get('/a/../api/products') + post('abc', 'Content-Length: 3'),
  ),
  refuses('a request behind two Hosts', get('/a', 'Host: b') + SMUGGLED),
  refuses(
    'a request behind a refused one with a body',
    head('POST /a', 'Host: a', 'Host: b', 'Content-Length: 3') + `abc${SMUGGLED}`,
  ),
  refuses('a request behind an unknown expectation', get('/a', 'Expect: magic') + SMUGGLED, 417),
  refuses('CL.TE', post(`0\r\n\r\n${SMUGGLED}`, `Content-Length: ${SMUGGLED.length + 5}`, CHUNKED)),
  refuses(
    'TE.CL',
    post(
      `${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`,
      CHUNKED,
      'Content-Length: 4',
    ),
  ),
  refuses(
    'TE.TE with a coding nobody knows',
    post(`0\r\n\r\n${SMUGGLED}`, 'Transfer-Encoding: x', CHUNKED),
  ),
  refuses(
    'TE.TE the other way round',
    post(`0\r\n\r\n${SMUGGLED}`, CHUNKED, 'Transfer-Encoding: x'),
  ),
  refuses(
    'TE.0 hidden by a space',
    post(`0\r\n\r\n${SMUGGLED}`, 'Transfer-Encoding : chunked', 'Content-Length: 5'),
  ),
  refuses(
    'TE.0 hidden by a vertical tab',
    post(`0\r\n\r\n${SMUGGLED}`, 'Transfer-Encoding:\x0bchunked', 'Content-Length: 5'),
  ),
  refuses(
    'TE.0 hidden by a fold',
    post(`0\r\n\r\n${SMUGGLED}`, 'Transfer-Encoding:\r\n chunked', 'Content-Length: 5'),
  ),
  refuses(
    'TE.0 hidden by a bare LF',
    post(`0\r\n\r\n${SMUGGLED}`, 'X: y\nTransfer-Encoding: chunked', 'Content-Length: 5'),
  ),
  refuses(
    'a length of 0 beside chunks',
    post(`0\r\n\r\n${SMUGGLED}`, 'Content-Length: 0', CHUNKED),
  ),
  forwards(
    'a coding with an underscore beside a length',
    post('0\r\n\r\n', 'Content-Length: 5', 'Transfer_Encoding: chunked'),
    'POST /a @shop "0\r\n\r\n"',
  ),
  forwards(
    'a length with an underscore before a request',
    get('/a', `Content_Length: ${SMUGGLED.length}`) + get('/b'),
    'GET /a @shop',
    'GET /b @shop',
  ),
  refuses(
    'a length that Connection nominates, beside chunks',
    post(`0\r\n\r\n${SMUGGLED}`, 'Connection: content-length', 'Content-Length: 5', CHUNKED),
  ),
  forwards(
    'a length that Connection nominates',
    post('abc', 'Connection: content-length', 'Content-Length: 3'),
    'POST /a @shop "abc"',
  ),
  forwards(
    'a coding that Connection nominates',
    chunked('3\r\nabc\r\n0\r\n\r\n', 'Connection: transfer-encoding'),
    'POST /a @shop "abc"',
  ),
  {
    name: 'a request behind chunks that are malformed',
    send: chunked(`3\r\nabcX\r\n0\r\n\r\n${SMUGGLED}`),
    arrives: [],
    then: { broken: 400 },
  },
  {
    name: 'a request behind the trailers of a chunked one',
    send: chunked('0\r\nX: y\r\n\r\n') + get('/b'),
    arrives: ['POST /a @shop', 'GET /b @shop'],
    then: 'in-step',
  },
  {
    name: 'a request line hidden in a trailer',
    send: chunked(`0\r\nX: y\r\nGET /smuggled HTTP/1.1\r\nHost: shop\r\n\r\n`),
    arrives: [],
    then: { broken: 400 },
  },
];
