// One request on its way through a pool: waiting for a connection, then on one, until its answer has
// ended, or it failed, or was given up. Its listener hears of the answer in order, then of one end.
import type { Readable } from 'node:stream';
import type { AnswerHead } from './domain/answer-reader.ts';
import { lengthOf, requestHead, type Body } from './domain/request-line.ts';

export interface Outgoing {
  /** Path and query. */
  readonly path: string;
  readonly method: string;
  /** Names and values by turns. */
  readonly headers: readonly string[];
  /** A stream is destroyed when nothing more of it is wanted. */
  readonly body: Readable | Buffer | null;
}

export interface AnswerListener {
  /** It has a connection: from here on it may have reached the upstream. */
  onConnection(): void;
  /** 1xx too: then another one follows. What it throws makes the answer a broken one. */
  onHead(head: AnswerHead): void;
  /** False asks for no more until `Sending.resume`; what has been read by then comes all the same. */
  onData(piece: Buffer): boolean;
  onEnd(trailers: readonly string[]): void;
  /** Nothing more comes, and what came is not whole. Not called for who has given up. */
  onFail(error: Error): void;
}

/** What carries it. */
export interface Carrier {
  giveUp(): void;
  resume(): void;
}

/** A body in one piece, up to so many bytes, is worth a copy that saves a system call. */
const ONE_WRITE = 16_384;

export class Sending {
  readonly method: string;
  readonly listener: AnswerListener;
  /** What is written first: the head, and a small body with it. One character a byte. */
  readonly start: string;
  /** What is written after that. */
  readonly rest: Readable | Buffer | undefined;
  /** Of a stream: how many bytes it must have; undefined where it goes in chunks. */
  readonly length: number | undefined;
  #carrier: Carrier | undefined;

  /** `host` is the upstream's own. Throws Unforwardable. */
  constructor(outgoing: Outgoing, host: string, listener: AnswerListener) {
    const { method, path, headers, body } = outgoing;
    this.method = method;
    this.listener = listener;
    const whole = Buffer.isBuffer(body) ? body : undefined;
    const streamed = body === null || whole ? undefined : body;
    this.length = streamed && lengthOf(headers);
    const framing: Body = whole?.length ?? (streamed ? (this.length ?? 'chunked') : 'none');
    const head = requestHead({ method, path, headers, host }, framing);
    const joins = whole !== undefined && whole.length <= ONE_WRITE;
    this.start = joins ? head + whole.toString('latin1') : head;
    this.rest = joins ? undefined : (whole ?? streamed);
  }

  /** Takes its place: in the queue, then on a connection, then none. */
  carriedBy(carrier: Carrier | undefined): void {
    this.#carrier = carrier;
  }

  /** Asks for more after `onData` has said no. */
  resume(): void {
    this.#carrier?.resume();
  }

  /** Its listener hears no more; a connection that it was on is closed. */
  giveUp(): void {
    this.#carrier?.giveUp();
  }
}
