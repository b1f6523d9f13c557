// Servers that do what no server should, byte by byte: each is a script for `serveBytes`, run for
// every connection.
import type { Socket } from 'node:net';
import { gzipSync } from 'node:zlib';

export type Misbehaviour = (socket: Socket) => void;

const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n';

/** Answers each request with these bytes. */
const answering =
  (bytes: string | Buffer): Misbehaviour =>
  (socket) => {
    socket.on('data', () => {
      socket.write(bytes);
    });
  };

/** Sends the beginning, then the same piece for ever, as fast as the other side takes it. */
const withoutEnd =
  (beginning: string, piece: string): Misbehaviour =>
  (socket) => {
    const chunk = Buffer.from(piece.repeat(Math.ceil(65_536 / piece.length)));
    const more = (): void => {
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on('drain', more);
    socket.once('data', () => {
      socket.write(beginning);
      more();
    });
  };

/** One byte every so often. */
const trickling =
  (beginning: string): Misbehaviour =>
  (socket) => {
    const timer = setInterval(() => {
      if (!socket.destroyed) socket.write('x');
    }, 20);
    socket.on('close', () => {
      clearInterval(timer);
    });
    socket.once('data', () => socket.write(beginning));
  };

const bomb = gzipSync(Buffer.alloc(30_000_000, ' '));

export const MISBEHAVIOURS: Readonly<Record<string, Misbehaviour>> = {
  'takes the request and never answers': (socket) => {
    socket.resume();
  },
  'closes every connection at once': (socket) => {
    socket.destroy();
  },
  'resets after the request': (socket) => {
    socket.on('data', () => socket.resetAndDestroy());
  },
  'talks nonsense': answering('nonsense\r\n\r\n'.repeat(1_000)),
  'answers twice': answering(`${HEAD}content-length: 2\r\n\r\n{}`.repeat(2)),
  'closes in the middle of the head': (socket) => {
    socket.on('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-ty'));
  },
  'closes in the middle of the body': (socket) => {
    socket.on('data', () => socket.end(`${HEAD}content-length: 100\r\n\r\n{"a":`));
  },
  'trickles a head': trickling('HTTP/1.1 200 OK\r\nx: '),
  'trickles a body': trickling(`${HEAD}\r\n{"a":"`),
  'sends a body without end': withoutEnd(`${HEAD}\r\n`, '["x"],'),
  'sends chunks without end': withoutEnd(`${HEAD}transfer-encoding: chunked\r\n\r\n`, '1\r\nx\r\n'),
  'sends a chunk extension without end': withoutEnd(
    `${HEAD}transfer-encoding: chunked\r\n\r\n1;`,
    'x',
  ),
  'announces a huge body': answering(`${HEAD}content-length: 99999999999\r\n\r\n{"a":1`),
  'sends 100 000 header fields': answering(`${HEAD}${'a: b\r\n'.repeat(100_000)}\r\n`),
  'sends header fields without end': withoutEnd(HEAD, 'a: b\r\n'),
  'sends trailers without end': withoutEnd(
    `${HEAD}transfer-encoding: chunked\r\n\r\n0\r\n`,
    'a: b\r\n',
  ),
  'sends interim answers without end': withoutEnd('', 'HTTP/1.1 103 Early Hints\r\n\r\n'),
  'sends a gzip bomb': answering(
    Buffer.concat([
      Buffer.from(`${HEAD}content-encoding: gzip\r\ncontent-length: ${bomb.length}\r\n\r\n`),
      bomb,
    ]),
  ),
  'sends broken gzip': answering(`${HEAD}content-encoding: gzip\r\ncontent-length: 5\r\n\r\nxxxxx`),
  'redirects to itself': answering(
    'HTTP/1.1 302 Found\r\nlocation: /api/products/1\r\ncontent-length: 0\r\n\r\n',
  ),
  'nests without end': answering(
    `${HEAD}content-length: 200000\r\n\r\n${'['.repeat(100_000)}${']'.repeat(100_000)}`,
  ),
  'switches protocols': answering(
    'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n',
  ),
};
