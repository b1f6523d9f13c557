// An upstream's answers, read from the bytes of one connection. Strict where programs disagree: whatever
// could be framed in two ways (RFC 9112 §6.3) is malformed and ends the connection, so nobody's answer is
// ever taken for somebody else's. One answer at a time; whoever asks says what was asked.
import { MalformedAnswer, readFields, readStatusLine } from './answer-fields.ts';
import { persists, readFraming, type Persistence } from './answer-framing.ts';
import { ChunkLine } from './chunk-line.ts';

export interface AnswerHead {
  readonly status: number;
  /** The reason, byte for byte. */
  readonly message: string;
  /** Names and values by turns, as received. */
  readonly headers: readonly string[];
  /** What it announces of its body; -1 where it announces nothing. */
  readonly length: number;
}

/** May abandon the reader while it is told something. */
export interface AnswerSink {
  /** 1xx too: then another head follows. */
  onHead(head: AnswerHead): void;
  onBody(piece: Buffer): void;
  onEnd(trailers: readonly string[]): void;
}

type State =
  | 'idle'
  | 'head'
  | 'length'
  | 'until-close'
  | 'chunk-size'
  | 'chunk-data'
  | 'chunk-end'
  | 'trailers';

const CR = 0x0d;
const LF = 0x0a;
const HEAD_END = '\r\n\r\n';
const HEAD_END_BYTES = Buffer.from(HEAD_END);
/** Interim answers before one: a few are normal, an endless row of them is an attack. */
const MOST_INTERIM = 64;
const NOTHING: readonly string[] = [];

export class AnswerReader {
  readonly #headBytes: number;
  readonly #sink: AnswerSink;
  #state: State = 'idle';
  #isHead = false;
  #interim = 0;
  /** What has come of a head or of trailers. */
  #text = '';
  /** Bytes of the body, or of the chunk, that are still to come. */
  #left = 0;
  readonly #line = new ChunkLine();
  /** Of the end of a chunk, half has come. */
  #afterCr = false;
  #persistence: Persistence;

  /** `headBytes` is the most that a head, or trailers, may have. */
  constructor(sink: AnswerSink, headBytes: number) {
    this.#sink = sink;
    this.#headBytes = headBytes;
  }

  /** An answer is awaited, or has not come to its end. */
  get busy(): boolean {
    return this.#state !== 'idle';
  }

  /** Its head has come, and its end has not. */
  get begun(): boolean {
    return this.#state !== 'idle' && this.#state !== 'head';
  }

  /** Of the connection after the answer that was read last. */
  get persistence(): Persistence {
    return this.#persistence;
  }

  /** The next bytes answer a request with this method. */
  expect(method: string): void {
    this.#state = 'head';
    this.#isHead = method === 'HEAD';
    this.#text = '';
    this.#interim = 0;
    this.#persistence = 'none';
  }

  /** Nothing that comes counts any more. */
  abandon(): void {
    this.#state = 'idle';
    this.#persistence = 'none';
  }

  /**
   * Takes what has come; gives how much of it belonged to the answer: what lies behind its end is nobody's.
   * Throws MalformedAnswer, and what the sink throws.
   */
  take(bytes: Buffer): number {
    let at = 0;
    while (at < bytes.length && this.#state !== 'idle') at = this.#step(bytes, at);
    return at;
  }

  /** The connection has ended in order. Throws MalformedAnswer where the answer was not whole. */
  close(): void {
    if (this.#state === 'idle') return;
    if (this.#state !== 'until-close') throw new MalformedAnswer('it breaks off');
    this.#end(NOTHING);
  }

  /** Reads on from `at`; gives how far it has come. */
  #step(bytes: Buffer, at: number): number {
    switch (this.#state) {
      case 'head':
        return this.#takeHead(bytes, at);
      case 'length':
        return this.#takeBody(bytes, at);
      case 'until-close':
        this.#sink.onBody(at === 0 ? bytes : bytes.subarray(at));
        return bytes.length;
      case 'chunk-size':
        return this.#takeSize(bytes, at);
      case 'chunk-data':
        return this.#takeBody(bytes, at);
      case 'chunk-end':
        return this.#takeChunkEnd(bytes, at);
      case 'trailers':
        return this.#takeTrailers(bytes, at);
      case 'idle':
        return at;
    }
  }

  #takeHead(bytes: Buffer, at: number): number {
    let end: number;
    if (this.#text === '') {
      const found = bytes.indexOf(HEAD_END_BYTES, at);
      end = found === -1 ? bytes.length : found + HEAD_END.length;
      this.#text = bytes.toString('latin1', at, end);
      if (found === -1) {
        this.#assertHeadFits();
        return end;
      }
    } else {
      end = this.#gather(bytes, at);
      if (end === -1) return bytes.length;
    }
    this.#assertHeadFits();
    const text = this.#text;
    this.#text = '';
    this.#begin(text);
    return end;
  }

  /** Adds to the text up to an empty line; where that ends, or -1 while it has not come. */
  #gather(bytes: Buffer, at: number): number {
    const before = this.#text.length;
    const text = this.#text + bytes.toString('latin1', at, at + this.#headBytes);
    const found = text.indexOf(HEAD_END, Math.max(0, before - HEAD_END.length + 1));
    this.#text = found === -1 ? text : text.slice(0, found + HEAD_END.length);
    if (found !== -1) return at + this.#text.length - before;
    this.#assertHeadFits();
    return -1;
  }

  #assertHeadFits(): void {
    if (this.#text.length > this.#headBytes) throw new MalformedAnswer('its head is too long');
  }

  #begin(text: string): void {
    const line = text.indexOf('\r\n');
    const { minor, status, reason } = readStatusLine(text.slice(0, line));
    if (status === 101)
      throw new MalformedAnswer('it changes a protocol that nobody wanted changed');
    // Without the empty line.
    const headers = readFields(text.slice(0, -2), line + 2);
    const framing = readFraming(headers);
    const head: AnswerHead = { status, message: reason, headers, length: framing.length };
    if (status < 200) {
      this.#interim += 1;
      if (this.#interim > MOST_INTERIM)
        throw new MalformedAnswer('it announces itself without end');
      this.#sink.onHead(head);
      return;
    }
    const bodiless = this.#isHead || status === 204 || status === 304;
    const { coding, length } = framing;
    if (!bodiless) {
      if (coding !== undefined && minor === 0)
        throw new MalformedAnswer('HTTP/1.0 has no transfer codings');
      if (coding !== undefined && coding !== 'chunked')
        throw new MalformedAnswer('it has a transfer coding besides chunked');
      if (coding !== undefined && length !== -1)
        throw new MalformedAnswer('it has both a length and a transfer coding');
    }
    const framed = bodiless || coding !== undefined || length !== -1;
    this.#persistence = framed && persists(minor, framing) ? framing.keepAliveMs : 'none';
    this.#left = length;
    if (coding !== undefined) this.#beginChunk();
    else this.#state = length !== -1 ? 'length' : 'until-close';
    this.#sink.onHead(head);
    if (this.busy && (bodiless || length === 0)) this.#end(NOTHING);
  }

  #takeBody(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#left);
    this.#left -= end - at;
    this.#sink.onBody(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
    if (this.#left > 0) return end;
    if (this.#state === 'length') this.#end(NOTHING);
    else if (this.#state === 'chunk-data') {
      this.#state = 'chunk-end';
      this.#afterCr = false;
    }
    return end;
  }

  #beginChunk(): void {
    this.#state = 'chunk-size';
    this.#line.begin();
  }

  #takeSize(bytes: Buffer, at: number): number {
    const end = this.#line.take(bytes, at);
    if (end === -1) return bytes.length;
    this.#left = this.#line.size;
    this.#state = this.#left === 0 ? 'trailers' : 'chunk-data';
    return end;
  }

  #takeChunkEnd(bytes: Buffer, at: number): number {
    if (bytes[at] !== (this.#afterCr ? LF : CR))
      throw new MalformedAnswer('a chunk is longer than it says');
    if (this.#afterCr) this.#beginChunk();
    else this.#afterCr = true;
    return at + 1;
  }

  #takeTrailers(bytes: Buffer, at: number): number {
    // The line of the last chunk ends like one before them: where there are none, an empty line is left.
    if (this.#text === '') this.#text = '\r\n';
    const end = this.#gather(bytes, at);
    if (end === -1) return bytes.length;
    this.#assertHeadFits();
    const text = this.#text.slice(0, -2);
    this.#text = '';
    this.#end(text.length === 2 ? NOTHING : readFields(text, 2));
    return end;
  }

  #end(trailers: readonly string[]): void {
    this.#state = 'idle';
    this.#sink.onEnd(trailers);
  }
}
