// A request's body on its way to an upstream. One that has come with its head, as small ones do, is
// kept and sent in one piece, with its length. Any other is pulled from the client's socket only as
// fast as the upstream takes it: until the first pull nothing is read and no `100 Continue` is sent.
// What was taken is kept, up to a limit, so that another attempt can send it again; the attempt's
// stream may be destroyed at any time, the client's request and its socket never are.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { Job } from './job.ts';

export interface UploadOptions {
  readonly req: IncomingMessage;
  /** Whether another attempt may follow once some of it was sent. */
  readonly keeps: boolean;
  /** Bytes of a body of which there is another attempt. */
  readonly mostKept: number;
  /** The upstream wants the body. */
  readonly onFirstPull: () => void;
  /** A piece was passed on. */
  readonly onProgress: () => void;
}

const EMPTY = Buffer.alloc(0);

export class Upload {
  readonly #options: UploadOptions;
  readonly #piece: Buffer | undefined;
  #kept: Buffer[] = [];
  #keptBytes = 0;
  #whole = true;
  #pulled = false;
  #settled = false;
  #stream: Readable | undefined;

  constructor(options: UploadOptions) {
    this.#options = options;
    const { req, mostKept } = options;
    if (req.complete && req.readableLength <= mostKept)
      this.#piece = (req.read() as Buffer | null) ?? EMPTY;
  }

  /** Whether all that was taken from the client can be sent once more. */
  get repeatable(): boolean {
    return this.#whole;
  }

  /** As the client sent it; undefined where that was too much to keep, or is not over. */
  get body(): Buffer | undefined {
    if (this.#piece) return this.#piece;
    return this.#whole && this.#options.req.readableEnded ? Buffer.concat(this.#kept) : undefined;
  }

  /** The upstream takes more of it than the client sends. */
  get awaitsClient(): boolean {
    const stream = this.#stream;
    return (
      this.#pulled &&
      !this.#options.req.complete &&
      stream?.destroyed === false &&
      !stream.isPaused() &&
      stream.readableLength === 0
    );
  }

  /** The body for one attempt, from its first byte; the stream of the attempt before is ended. */
  open(): Readable | Buffer {
    if (this.#piece) {
      // Node ends the connection of a client that expects a word and gets none.
      this.#pull();
      return this.#piece;
    }
    this.close();
    const { req } = this.#options;
    let replayed = false;
    const onData = (chunk: Buffer): void => {
      this.#keep(chunk);
      this.#options.onProgress();
      if (!stream.push(chunk)) req.pause();
    };
    const onEnd = (): void => {
      stream.push(null);
    };
    const onClose = (): void => {
      if (!req.readableEnded) stream.destroy(new Error('the client went away'));
    };
    const stream = new Readable({
      read: () => {
        if (replayed) {
          req.resume();
          return;
        }
        replayed = true;
        this.#pull();
        for (const chunk of this.#kept) stream.push(chunk);
        if (req.readableEnded) onEnd();
        else req.on('data', onData).on('end', onEnd).on('close', onClose).resume();
      },
      destroy: (error, done) => {
        req.off('data', onData).off('end', onEnd).off('close', onClose);
        if (this.#settled) this.#drain();
        else req.pause();
        done(error);
      },
    });
    // An upload that breaks off surfaces as the attempt's own error.
    stream.on('error', () => undefined);
    this.#stream = stream;
    return stream;
  }

  /** No attempt follows: what was kept is let go. */
  settle(): void {
    this.#settled = true;
    this.#whole = false;
    this.#kept = [];
    if (this.#stream?.destroyed === true) this.#drain();
  }

  /** Ends the attempt's stream. */
  close(): void {
    this.#stream?.destroy();
  }

  #pull(): void {
    if (!this.#pulled) this.#options.onFirstPull();
    this.#pulled = true;
  }

  #keep(chunk: Buffer): void {
    if (!this.#whole) return;
    this.#keptBytes += chunk.length;
    const { keeps, mostKept } = this.#options;
    if (keeps && this.#keptBytes <= mostKept) {
      this.#kept.push(chunk);
      return;
    }
    this.#whole = false;
    this.#kept = [];
  }

  /** Whatever the client still sends is read and thrown away, so that it sees the answer. */
  #drain(): void {
    if (this.#pulled) this.#options.req.resume();
  }
}

/** Of a job whose request has a body. */
export function uploadOf(job: Job, onProgress: () => void): Upload {
  const { req, res, head, repeatable, retry } = job;
  return new Upload({
    req,
    keeps: repeatable,
    mostKept: retry.bodyBytes,
    onFirstPull: () => {
      if (head.expectsContinue) sendContinue(res);
    },
    onProgress,
  });
}

/** Sends `100 Continue`, unless the server has done so by itself (it has no checkContinue listener). */
function sendContinue(res: ServerResponse): void {
  const sent = (res as ServerResponse & { _sent100?: boolean })._sent100;
  if (sent !== true && !res.headersSent) res.writeContinue();
}
