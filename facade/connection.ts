// A connection to an upstream, with one request at a time. It is used again only where nothing can be
// left on it: the answer was whole and strictly read, the request was written to its end, and nobody
// spoke out of turn. Otherwise it is destroyed, so that no answer is taken for another's. (What an upstream
// says unasked, and later than the pool has it rest, HTTP/1 has no means to tell from an answer.)
import type { Socket } from 'node:net';
import type { Dialled } from './dial.ts';
import { AnswerReader, type AnswerHead, type AnswerSink } from './domain/answer-reader.ts';
import type { Carrier, Sending } from './sending.ts';
import { writeStream, type Writing } from './writing.ts';

export interface ConnectionOptions {
  /** Open. */
  readonly dialled: Dialled;
  /** The most that a head may have. */
  readonly headBytes: number;
  /** An answer that has begun may be silent for so long. */
  readonly idleTimeoutMs: number;
  /** It is kept for so long, where the upstream says nothing of it. */
  readonly keepAliveMs: number;
  /** It may take another request, until `freeUntil`. */
  readonly onFree: (connection: Connection) => void;
  /** It is gone. */
  readonly onClosed: (connection: Connection) => void;
}

/** What it says is taken for less: it may have begun to count before. */
const KEEP_ALIVE_MARGIN_MS = 2_000;
const KEEP_ALIVE_MOST_MS = 600_000;

export class SilentUpstream extends Error {
  override readonly name = 'SilentUpstream';
  readonly code = 'BANYAN_UPSTREAM_SILENT';
}

export class ClosedByUpstream extends Error {
  override readonly name = 'ClosedByUpstream';
  readonly code = 'BANYAN_UPSTREAM_CLOSED';
}

export class Connection implements AnswerSink, Carrier {
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #reader: AnswerReader;
  /** Of `performance.now()`. */
  freeUntil: number;
  #sending: Sending | undefined;
  #writing: Writing | undefined;
  /** The body's idle timeout runs. */
  #watched = false;
  #closed = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.freeUntil = performance.now() + options.keepAliveMs;
    this.#reader = new AnswerReader(this, options.headBytes);
    options.dialled.onBytes = (bytes) => {
      this.#onData(bytes);
    };
    this.#socket = options.dialled.socket
      .on('end', () => {
        this.#onEnd();
      })
      .on('timeout', () => {
        this.#onSilence();
      })
      .on('error', (error) => {
        this.#fail(error);
      })
      .on('close', () => {
        this.#fail(new ClosedByUpstream('the upstream closed the connection'));
      });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Writes a request. Only while the connection is free. */
  carry(sending: Sending): void {
    this.#sending = sending;
    this.#reader.expect(sending.method);
    sending.carriedBy(this);
    sending.listener.onConnection();
    const { start, rest, length } = sending;
    this.#socket.write(start, 'latin1');
    if (rest === undefined) return;
    if (Buffer.isBuffer(rest)) this.#socket.write(rest);
    else
      this.#writing = writeStream(this.#socket, rest, length, (error) => {
        this.#writing = undefined;
        if (error) this.#fail(error);
      });
  }

  /** The listener takes more of the body. */
  resume(): void {
    if (this.#closed) return;
    this.#socket.resume();
    this.#watch();
  }

  giveUp(): void {
    this.#release();
    this.#close();
  }

  /** Ends it; a request that is on it fails. */
  destroy(error: Error): void {
    this.#fail(error);
  }

  onHead(head: AnswerHead): void {
    this.#sending?.listener.onHead(head);
  }

  onBody(piece: Buffer): void {
    if (this.#sending?.listener.onData(piece) === false) this.#socket.pause();
  }

  onEnd(trailers: readonly string[]): void {
    const sending = this.#release();
    // Whatever of the request is not written yet never will be: the next would stand behind half of it.
    if (this.#writing || this.#socket.writableLength > 0) this.#close();
    sending?.listener.onEnd(trailers);
  }

  /** An answer has ended with the last byte that came. */
  #free(): void {
    const { persistence } = this.#reader;
    const keptMs = persistence === 'none' ? 0 : keptFor(persistence, this.#options.keepAliveMs);
    if (keptMs <= 0) {
      this.#close();
      return;
    }
    if (this.#watched) this.#socket.setTimeout(0);
    this.#watched = false;
    if (this.#socket.isPaused()) this.#socket.resume();
    this.freeUntil = performance.now() + keptMs;
    this.#options.onFree(this);
  }

  #onData(bytes: Buffer): void {
    if (this.#closed) return;
    try {
      const taken = this.#reader.take(bytes);
      // What stands behind an answer, or comes while none is awaited, is none that was asked for.
      if (taken < bytes.length) this.#close();
    } catch (error) {
      this.#fail(error as Error);
      return;
    }
    if (this.#socket.destroyed) return;
    if (!this.#reader.busy) this.#free();
    else if (!this.#watched && this.#reader.begun) this.#watch();
  }

  #onEnd(): void {
    if (this.#closed) return;
    try {
      this.#reader.close();
    } catch {
      this.#fail(
        new ClosedByUpstream('the upstream closed the connection before its answer was whole'),
      );
    }
    this.#close();
  }

  #watch(): void {
    this.#watched = true;
    this.#socket.setTimeout(this.#options.idleTimeoutMs);
  }

  #onSilence(): void {
    // It is not the upstream who keeps us waiting.
    if (!this.#sending || this.#socket.isPaused()) return;
    this.#fail(new SilentUpstream('the upstream fell silent in the middle of its answer'));
  }

  /** Its request has no say over the connection any more: it may be another's next. */
  #release(): Sending | undefined {
    const sending = this.#sending;
    this.#sending = undefined;
    sending?.carriedBy(undefined);
    return sending;
  }

  #fail(error: Error): void {
    const sending = this.#release();
    this.#close();
    sending?.listener.onFail(error);
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#reader.abandon();
    this.#writing?.stop();
    this.#writing = undefined;
    this.#socket.destroy();
    this.#options.onClosed(this);
  }
}

function keptFor(saidMs: number | undefined, elseMs: number): number {
  if (saidMs === undefined) return elseMs;
  return Math.min(saidMs - KEEP_ALIVE_MARGIN_MS, KEEP_ALIVE_MOST_MS);
}
