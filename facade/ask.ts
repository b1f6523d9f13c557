// Asks an upstream on the toolkit's own behalf and takes the whole answer into memory, within a
// limit of bytes and time: for shadow copies and their repetitions, never for a client.
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib';
import type { Answer } from './domain/compare.ts';
import type { Upstream } from './upstreams.ts';

export interface Question {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly string[];
}

export interface AskLimits {
  readonly timeoutMs: number;
  readonly bodyBytes: number;
  readonly signal: AbortSignal;
}

export type Asked =
  | { readonly kind: 'answer'; readonly answer: Answer }
  | { readonly kind: 'too-large' }
  /** No usable answer; `why` tells kinds of failures apart and never names an upstream. */
  | { readonly kind: 'silent'; readonly why: string };

// A copy asks for the whole, plain answer, whatever the client already had of it.
const NOT_COPIED = new Set([
  'accept-encoding',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'range',
]);

/** The same question without conditions, ranges and compression, marked as a copy. */
export function copyOf(question: Question): Question {
  const headers = question.headers.filter(
    (_, at) => !NOT_COPIED.has(question.headers[at - (at % 2)]?.toLowerCase() ?? ''),
  );
  return {
    ...question,
    headers: [...headers, 'accept-encoding', 'identity', 'x-banyan-shadow', '1'],
  };
}

export async function ask(
  upstream: Upstream,
  question: Question,
  limits: AskLimits,
): Promise<Asked> {
  const timeout = AbortSignal.timeout(limits.timeoutMs);
  try {
    const response = await upstream.pool.request({
      path: upstream.prefix + question.target,
      method: question.method,
      headers: [...question.headers],
      signal: AbortSignal.any([timeout, limits.signal]),
      ...(upstream.servername === undefined ? undefined : { servername: upstream.servername }),
    });
    const body = await readAll(response.body, limits.bodyBytes);
    if (!body) return { kind: 'too-large' };
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(response.headers))
      headers[name] = Array.isArray(value) ? value.join(', ') : (value ?? '');
    return await plainAnswer(response.statusCode, headers, body, limits.bodyBytes);
  } catch (error) {
    if (timeout.aborted) return { kind: 'silent', why: 'no answer in time' };
    return { kind: 'silent', why: (error as NodeJS.ErrnoException).code ?? 'broken answer' };
  }
}

/** A stream's bytes; undefined, and the stream destroyed, when there are more than `most`. */
async function readAll(stream: AsyncIterable<Buffer>, most: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > most) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const DECODERS: Readonly<
  Record<string, (body: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>>
> = {
  gzip: promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
  zstd: promisify(zstdDecompress),
};

/** An answer with its content coding undone, so that two servers' compressors cannot differ. */
export async function plainAnswer(
  status: number,
  headers: Readonly<Record<string, string>>,
  body: Buffer,
  bodyBytes: number,
): Promise<Asked> {
  const coding = headers['content-encoding']?.toLowerCase() ?? 'identity';
  if (coding === 'identity' || body.length === 0)
    return { kind: 'answer', answer: { status, headers, body } };
  const decode = DECODERS[coding];
  if (!decode) return { kind: 'silent', why: 'unknown content coding' };
  try {
    const plain = await decode(body, { maxOutputLength: bodyBytes });
    return { kind: 'answer', answer: { status, headers, body: plain } };
  } catch (error) {
    const tooLarge = (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
    return tooLarge ? { kind: 'too-large' } : { kind: 'silent', why: 'broken content coding' };
  }
}
