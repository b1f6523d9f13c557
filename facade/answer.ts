// An upstream's answer on its way to the client: head, body with back-pressure, trailers. A small
// body that came in one piece leaves with its head in one write. A client that takes nothing for too
// long is given up, because it would keep a connection of its upstream for ever.
import type { ServerResponse } from 'node:http';
import { asBytes } from './content-disposition.ts';
import type { AnswerHead } from './domain/answer-reader.ts';
import { readResponseHead } from './domain/headers.ts';
import { addOwnCookies } from './own-cookies.ts';
import { passInterim, reasonOf } from './status-line.ts';

/** Bodies up to this many bytes are worth a copy to save a system call. */
const ONE_WRITE = 16_384;

export class Answer {
  readonly #res: ServerResponse;
  readonly #idleTimeoutMs: number;
  readonly #onStall: () => void;
  /** As the upstream has announced it. */
  #length = -1;
  /** A body that came in one piece. */
  #whole: Buffer | undefined;
  /** Some of its body has come, or it has none. */
  #begun = false;
  #bytes = 0;
  #stall: NodeJS.Timeout | undefined;

  constructor(res: ServerResponse, idleTimeoutMs: number, onStall: () => void) {
    this.#res = res;
    this.#idleTimeoutMs = idleTimeoutMs;
    this.#onStall = onStall;
  }

  /** Of the body so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The fields that cross. Throws for an answer that two clients could read differently: it counts as broken. */
  fieldsOf({ status, headers }: AnswerHead): readonly string[] {
    const { method, httpVersionMinor } = this.#res.req;
    const bodiless = method === 'HEAD' || status < 200 || status === 204 || status === 304;
    this.#begun = bodiless;
    const read = readResponseHead(headers, { status, bodiless, chunks: httpVersionMinor > 0 });
    if ('kind' in read) throw new Error(read.why);
    return read;
  }

  /** Passes a 1xx on; the answer follows. */
  interim(head: AnswerHead): void {
    // 100 answers an expectation, and those end here.
    if (head.status !== 100 && this.#res.req.httpVersionMinor > 0)
      passInterim(this.#res, head.status, this.fieldsOf(head));
  }

  begin(status: number, message: string, headers: string[], length: number): void {
    this.#length = length;
    addOwnCookies(headers, this.#res);
    asBytes(headers);
    this.#res.writeHead(status, reasonOf(message), headers);
    // A body that takes its time must not keep the head back; one that came along leaves with it.
    process.nextTick(flushHead, this);
  }

  /** Passes a piece on; false when the client takes no more until `source` is told to resume. */
  data(chunk: Buffer, source: { resume(): void }): boolean {
    this.#begun = true;
    this.#bytes += chunk.length;
    if (chunk.length === this.#length && chunk.length <= ONE_WRITE) {
      this.#whole = chunk;
      return true;
    }
    if (this.#res.write(chunk)) return true;
    if (this.#stall !== undefined) return false;
    this.#stall = setTimeout(this.#onStall, this.#idleTimeoutMs);
    this.#res.once('drain', () => {
      clearTimeout(this.#stall);
      this.#stall = undefined;
      source.resume();
    });
    return false;
  }

  end(trailers: readonly string[]): void {
    this.#begun = true;
    if (trailers.length !== 0) this.#res.addTrailers(pairsOf(trailers));
    // As text, byte for byte: only a string leaves in one write with the head.
    if (this.#whole) this.#res.end(this.#whole.toString('latin1'), 'latin1');
    else this.#res.end();
    if (this.#res.writableLength > 0) this.#watchRest();
  }

  /** Sends the head by itself, unless the body has come with it. */
  flushHead(): void {
    if (this.#begun || this.#res.destroyed) return;
    // `flushHeaders` would write it as UTF-8: its bytes are what the upstream sent.
    this.#res.write('', 'latin1');
  }

  /** Who takes nothing of what is left is given up by Node's own clock, which knows of progress. */
  #watchRest(): void {
    const { socket } = this.#res;
    if (!socket) return;
    const { timeout = 0 } = socket;
    socket.setTimeout(this.#idleTimeoutMs);
    // Before Node sets the time that the connection is kept for.
    this.#res.prependOnceListener('finish', () => socket.setTimeout(timeout));
  }

  /** Nothing more comes: no timer stays behind. */
  close(): void {
    clearTimeout(this.#stall);
  }
}

function flushHead(answer: Answer): void {
  answer.flushHead();
}

function pairsOf(flat: readonly string[]): [string, string][] {
  const pairs: [string, string][] = [];
  for (let at = 0; at + 1 < flat.length; at += 2) pairs.push([flat[at] ?? '', flat[at + 1] ?? '']);
  return pairs;
}
