// An upstream that keeps every byte it gets and reads requests by a parser of its own, stricter than
// any server's: what it cannot read without a doubt it reports as a stray. So a request that was
// smuggled shows up either as one request too many or as a stray, never as nothing.
import { serveBytes } from './http.ts';

export interface Received {
  readonly method: string;
  readonly target: string;
  /** Names and values by turns, as they came. */
  readonly fields: readonly string[];
  readonly body: string;
}

export interface Recorder {
  readonly url: string;
  /** `host:port` of its own. */
  readonly authority: string;
  /** The bytes of each connection, as Latin-1. */
  readonly streams: readonly string[];
  /** Requests that came whole, in order. */
  received(): readonly Received[];
  /** Bytes that are no whole request: a request cut short, or something worse. */
  strays(): readonly string[];
  /** Forgets what came so far; connections stay. */
  forget(): void;
  close(): Promise<void>;
}

interface Stream {
  bytes: string;
  rest: string;
}

/** Answers each whole request with 200 and no body. */
export async function serveRecorder(
  answer = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
): Promise<Recorder> {
  const streams: Stream[] = [];
  const requests: Received[] = [];
  const server = await serveBytes((socket) => {
    const stream: Stream = { bytes: '', rest: '' };
    streams.push(stream);
    socket.on('data', (chunk) => {
      const text = chunk.toString('latin1');
      stream.bytes += text;
      stream.rest += text;
      for (let next = readRequest(stream.rest); next; next = readRequest(stream.rest)) {
        stream.rest = stream.rest.slice(next.length);
        requests.push(next.request);
        socket.write(answer, 'latin1');
      }
    });
  });
  return {
    url: server.url,
    authority: new URL(server.url).host,
    get streams() {
      return streams.map(({ bytes }) => bytes).filter((bytes) => bytes !== '');
    },
    received: () => [...requests],
    strays: () => streams.map(({ rest }) => rest).filter((rest) => rest !== ''),
    forget: () => {
      for (const stream of streams) {
        stream.bytes = '';
        stream.rest = '';
      }
      requests.length = 0;
    },
    close: server.close,
  };
}

/** The first request of `text` and its length in bytes; undefined when there is no whole and proper one. */
export function readRequest(text: string): { request: Received; length: number } | undefined {
  const end = text.indexOf('\r\n\r\n');
  if (end === -1) return undefined;
  const [line = '', ...rows] = text.slice(0, end).split('\r\n');
  const parts = /^([!-~]+) ([!-~\x80-\xff]+) HTTP\/1\.1$/.exec(line);
  if (!parts) return undefined;
  const fields: string[] = [];
  for (const row of rows) {
    const field = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([\t -~\x80-\xff]*)$/.exec(row);
    if (!field) return undefined;
    fields.push(field[1] ?? '', field[2] ?? '');
  }
  const body = readBody(
    text,
    end + 4,
    valuesOf(fields, 'content-length'),
    valuesOf(fields, 'transfer-encoding'),
  );
  if (!body) return undefined;
  const [, method = '', target = ''] = parts;
  return { request: { method, target, fields, body: body.text }, length: body.end };
}

/** Values of a field, by its name in lower case. */
export function valuesOf(fields: readonly string[], name: string): string[] {
  return fields.filter((_, at) => at % 2 === 1 && fields[at - 1]?.toLowerCase() === name);
}

function readBody(
  text: string,
  start: number,
  lengths: readonly string[],
  codings: readonly string[],
): { text: string; end: number } | undefined {
  if (codings.length + lengths.length > 1) return undefined;
  if (codings.length === 1) return codings[0] === 'chunked' ? readChunks(text, start) : undefined;
  if (lengths.length === 1 && !/^\d{1,15}$/.test(lengths[0] ?? '')) return undefined;
  const end = start + Number(lengths[0] ?? 0);
  return end <= text.length ? { text: text.slice(start, end), end } : undefined;
}

function readChunks(text: string, start: number): { text: string; end: number } | undefined {
  let body = '';
  for (let at = start; ;) {
    const size = /^([0-9a-f]{1,8})\r\n/i.exec(text.slice(at, at + 10));
    if (!size) return undefined;
    const length = Number.parseInt(size[1] ?? '', 16);
    at += size[0].length;
    if (text.slice(at + length, at + length + 2) !== '\r\n') return undefined;
    body += text.slice(at, at + length);
    at += length + 2;
    if (length === 0) return { text: body, end: at };
  }
}
