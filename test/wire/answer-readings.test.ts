// Answers that were damaged at random, read by the facade's reader and by Node's own client: whatever the
// facade takes, Node takes too, and reads the same out of it. The other way round need not be.
import { request } from 'node:http';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { AnswerReader, type AnswerHead } from '../../facade/domain/answer-reader.ts';
import { serveBytes } from '../support/http.ts';
import { randomOf, seeds } from '../support/random.ts';

const OK = 'HTTP/1.1 200 OK\r\n';
const SOUND = [
  `${OK}Content-Length: 5\r\nX-A: 1\r\n\r\nhello`,
  `${OK}Connection: close\r\nServer: a/1.0\r\n\r\nup to the end`,
  `${OK}Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;a=b\r\nhello\r\nA\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n`,
  `${OK}Transfer-Encoding: chunked\r\n\r\n1\r\n!\r\n0\r\n\r\n`,
  'HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n',
  'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 5\r\n\r\n',
  'HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok',
  `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${OK}Content-Length: 2\r\n\r\nok`,
  `${OK}Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nVary:\r\nContent-Length: 0\r\nKeep-Alive: timeout=5\r\n\r\n`,
];
const ODD = [
  '\r',
  '\n',
  '\r\n',
  '\0',
  '\t',
  ' ',
  ':',
  ';',
  ',',
  '0',
  '9',
  'a',
  'F',
  'x',
  '\x0b',
  '\x7f',
  '\xff',
  '-',
];
const CASES = 1_500;

interface Reading {
  readonly status: number;
  readonly fields: readonly string[];
  readonly body: string;
  readonly trailers: readonly string[];
}

let url = '';
let answers: string[] = [];
let close: () => Promise<void>;

beforeAll(async () => {
  const server = await serveBytes((socket) => {
    socket.once('data', (bytes) => {
      const nth = /^GET \/(\d+) /.exec(bytes.toString('latin1'))?.[1] ?? '';
      socket.end(answers[Number(nth)] ?? '', 'latin1');
    });
  });
  ({ url, close } = server);
});

afterAll(() => close());

test.each(seeds(1))('what the facade takes, Node reads the same: seed %d', async (seed) => {
  const random = randomOf(seed);
  const taken: { readonly text: string; readonly ours: Reading }[] = [];
  for (let at = 0; at < CASES; at++) {
    const text = damaged(random);
    const found = ourReading(text);
    if (found) taken.push({ text: text.slice(0, found.taken), ours: found.reading });
  }
  answers = taken.map(({ text }) => text);
  const theirs: (Reading | string)[] = [];
  for (let at = 0; at < taken.length; at += 32)
    theirs.push(
      ...(await Promise.all(taken.slice(at, at + 32).map((_one, nth) => nodeReading(at + nth)))),
    );
  for (const [at, { text, ours }] of taken.entries())
    expect({ text, reading: theirs[at] }).toEqual({ text, reading: ours });
  // Neither all nor none of them: else this says nothing.
  expect(taken.length).toBeGreaterThan(CASES / 10);
  expect(taken.length).toBeLessThan((CASES * 9) / 10);
});

function damaged(random: () => number): string {
  const pick = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)] as T;
  let text = pick(SOUND);
  for (let hits = Math.floor(random() * 3); hits >= 0; hits--) {
    const at = Math.floor(random() * text.length);
    switch (Math.floor(random() * 4)) {
      case 0:
        text = text.slice(0, at) + pick(ODD) + text.slice(at);
        break;
      case 1:
        text = text.slice(0, at) + pick(ODD) + text.slice(at + 1);
        break;
      case 2:
        text = text.slice(0, at) + text.slice(at + 1);
        break;
      default: {
        const lines = text.split('\r\n');
        lines.splice(Math.floor(random() * lines.length), 0, pick(lines));
        text = lines.join('\r\n');
      }
    }
  }
  return text;
}

/** Undefined where it is refused. */
function ourReading(text: string): { reading: Reading; taken: number } | undefined {
  let head: AnswerHead | undefined;
  let body = '';
  let trailers: readonly string[] | undefined;
  const reader = new AnswerReader(
    {
      onHead: (one) => {
        head = one;
      },
      onBody: (piece) => {
        body += piece.toString('latin1');
      },
      onEnd: (given) => {
        trailers = given;
      },
    },
    16_384,
  );
  reader.expect('GET');
  try {
    const taken = reader.take(Buffer.from(text, 'latin1'));
    reader.close();
    if (!head || !trailers) return undefined;
    return { reading: { status: head.status, fields: head.headers, body, trailers }, taken };
  } catch {
    return undefined;
  }
}

function nodeReading(nth: number): Promise<Reading | string> {
  return new Promise((resolve) => {
    request(`${url}/${nth}`, { agent: false }, (res) => {
      let body = '';
      res.on('data', (piece: Buffer) => (body += piece.toString('latin1')));
      res.on('error', (error) => {
        resolve(error.message);
      });
      res.on('end', () => {
        resolve({
          ...{ status: res.statusCode ?? 0, fields: res.rawHeaders, body },
          trailers: res.rawTrailers,
        });
      });
    })
      .on('error', (error) => {
        resolve(error.message);
      })
      .end();
  });
}
