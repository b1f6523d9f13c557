// One request carried to an upstream and its answer carried back, streaming both ways. Every
// exchange ends exactly once, by `done`: with the upstream's whole answer, with a problem that the
// client gets (502, 504), or with a connection torn down because a begun answer cannot be mended or
// the client has gone. Nothing waits without a limit.
//
// The deadline runs until the answer's first byte. A client's upload that makes progress starts it
// anew, as long as `patient` says so; after the first byte undici watches for silence.
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { errors, type Dispatcher } from 'undici';
import { closeAfter } from './closing.ts';
import { readResponseHead, readTrailers, type RequestHead } from './domain/headers.ts';
import { passInterim, reasonOf } from './status-line.ts';
import { answerProblem, PROBLEMS, type Problem } from './problem.ts';
import { requestBody, sendContinue } from './request-body.ts';
import type { Upstream } from './upstreams.ts';

/** Sees the upstream's answer pass by; can neither delay nor change it. */
export interface Tap {
  head(status: number, headers: readonly string[]): void;
  data(chunk: Buffer): void;
  end(): void;
  /** The answer did not come, or not whole. */
  fail(): void;
}

export interface Job {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly upstream: Upstream;
  /** Path and query, as matched. */
  readonly target: string;
  readonly head: RequestHead;
  /** A repetition does no harm: sent once more when a kept-alive connection turns out to be dead. */
  readonly repeatable: boolean;
  readonly timeoutMs: number;
  /** Whether a slow upload may still prolong the deadline. */
  readonly patient: () => boolean;
  /** Names and values to add to the answer. */
  readonly added: readonly string[];
  readonly tap: Tap | undefined;
  /**
   * Called once: with the answer's status, 499 when the client left, 502 also when the answer broke
   * off; and with what went wrong at the upstream.
   */
  readonly done: (status: number, error?: Error) => void;
}

/** Status that is counted, never sent, for a client that went away. */
export const CLIENT_GONE = 499;

/** Starts an exchange; it ends by `job.done`. */
export function exchange(job: Job): void {
  new Exchange(job).start();
}

/** A client that takes nothing for this long is given up. */
const STALL_MS = 60_000;
/** Bodies up to this many bytes are worth a copy to save a system call. */
const ONE_WRITE = 16_384;

class Exchange implements Dispatcher.DispatchHandler {
  readonly #job: Job;
  #controller: Dispatcher.DispatchController | undefined;
  #body: Readable | undefined;
  #timer: NodeJS.Timeout | undefined;
  #status = 0;
  /** As the upstream has announced it. */
  #length = -1;
  /** A body that came in one piece: it leaves with its head in one write, as text, byte for byte. */
  #whole: Buffer | undefined;
  /** Some of its body has come. */
  #hasBegun = false;
  #repeated = false;
  #over = false;

  constructor(job: Job) {
    this.#job = job;
  }

  start(): void {
    const { res, timeoutMs } = this.#job;
    if (res.destroyed) {
      this.#finish(CLIENT_GONE, false);
      return;
    }
    this.#timer = setTimeout(onDeadline, timeoutMs, this);
    res.on('close', () => {
      this.#onClientClose();
    });
    this.#dispatch();
  }

  #dispatch(): void {
    const { upstream, target, req, head } = this.#job;
    upstream.pool.dispatch(
      {
        path: upstream.prefix === '' ? target : upstream.prefix + target,
        method: req.method as Dispatcher.HttpMethod,
        headers: head.headers,
        body: head.hasBody ? this.#openBody() : null,
        ...(upstream.servername === undefined ? undefined : { servername: upstream.servername }),
      },
      this,
    );
  }

  #openBody(): Readable {
    const { req, res, head, patient } = this.#job;
    this.#body = requestBody(
      req,
      () => {
        if (head.expectsContinue) sendContinue(res);
      },
      () => {
        if (patient()) this.#timer?.refresh();
      },
    );
    // An upload that breaks off surfaces as the exchange's own error.
    this.#body.on('error', () => undefined);
    return this.#body;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // It waited for a connection longer than its client or its deadline did: it is never sent.
    if (this.#over) controller.abort(new Error('no longer wanted'));
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    given: IncomingHttpHeaders,
    message?: string,
  ): void {
    if (this.#over) return;
    const { req, res, added, head, tap } = this.#job;
    const chunks = req.httpVersionMinor > 0;
    const bodiless = req.method === 'HEAD' || status < 200 || status === 204 || status === 304;
    const read = readResponseHead(textOf(controller.rawHeaders), { status, bodiless, chunks });
    // undici takes what is thrown here for a broken answer.
    if ('kind' in read) throw new Error(read.why);
    if (status < 200) {
      if (chunks) passInterim(res, status, read);
      return;
    }
    clearTimeout(this.#timer);
    this.#status = status;
    const length = given['content-length'];
    if (typeof length === 'string') this.#length = Number(length);
    tap?.head(status, read);
    const headers = added.length === 0 ? [...read] : [...read, ...added];
    // Answered before the upload was through: its rest must not be taken for the next request.
    if (head.hasBody && !req.complete) {
      headers.push('connection', 'close');
      closeAfter(req);
    }
    res.writeHead(status, reasonOf(message), headers);
    // A body that takes its time must not keep the head back; one that came along leaves with it.
    process.nextTick(flushHead, this);
    // Neither has a body, but undici takes a length on a 304, which RFC 9110 allows, for a promise of one.
    if (status === 204 || status === 304) this.#complete();
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over) return;
    const { res, tap } = this.#job;
    tap?.data(chunk);
    this.#hasBegun = true;
    if (chunk.length === this.#length && chunk.length <= ONE_WRITE) {
      this.#whole = chunk;
      return;
    }
    if (res.write(chunk)) return;
    controller.pause();
    this.#timer = setTimeout(onStall, STALL_MS, this);
    res.once('drain', () => {
      clearTimeout(this.#timer);
      controller.resume();
    });
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    if (this.#over) return;
    const trailers = controller.rawTrailers;
    if (trailers && trailers.length !== 0)
      this.#job.res.addTrailers(pairsOf(readTrailers(textOf(trailers))));
    this.#complete();
  }

  onResponseError(_controller: unknown, error: Error): void {
    if (this.#over) return;
    const { res } = this.#job;
    if (res.headersSent) {
      // The client can only learn from a broken connection that the answer is not whole.
      this.#finish(502, false, error);
      res.destroy();
    } else if (this.#job.repeatable && !this.#repeated && isStale(error)) {
      this.#repeated = true;
      this.#controller = undefined;
      // The next turn lets the pool notice what else was closed on its side.
      setImmediate(() => {
        if (!this.#over) this.#dispatch();
      });
    } else if (error instanceof errors.InvalidArgumentError) {
      this.#fail(PROBLEMS.unforwardable);
    } else if (error instanceof errors.ConnectTimeoutError) {
      this.#fail(PROBLEMS.late, error);
    } else {
      this.#fail(PROBLEMS.broken, error);
    }
  }

  #complete(): void {
    this.#finish(this.#status, true);
    const { res } = this.#job;
    if (this.#whole) res.end(this.#whole.toString('latin1'), 'latin1');
    else res.end();
  }

  /** Sends the head by itself, unless the body has come with it. */
  flushHead(): void {
    if (!this.#over && !this.#hasBegun) this.#job.res.flushHeaders();
  }

  /** The deadline has passed. */
  expire(): void {
    this.#fail(PROBLEMS.late, new Error('no answer within the deadline'));
  }

  /** The client has stopped reading: it would keep a connection of its upstream for ever. */
  stall(): void {
    this.#onClientClose();
    this.#job.res.destroy();
  }

  #fail(problem: Problem, error?: Error): void {
    if (this.#over) return;
    this.#finish(problem.status, false, error);
    this.#controller?.abort(new Error(problem.title));
    this.#body?.destroy();
    const { req, res, head } = this.#job;
    answerProblem(req, res, problem, head.requestId);
  }

  #onClientClose(): void {
    if (this.#over) return;
    this.#finish(CLIENT_GONE, false);
    this.#controller?.abort(new Error('the client went away'));
    this.#body?.destroy();
  }

  #finish(status: number, whole: boolean, error?: Error): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    if (whole) this.#job.tap?.end();
    else this.#job.tap?.fail();
    this.#job.done(status, error);
  }
}

function flushHead(exchange: Exchange): void {
  exchange.flushHead();
}

function onDeadline(exchange: Exchange): void {
  exchange.expire();
}

function onStall(exchange: Exchange): void {
  exchange.stall();
}

/** Errors of a connection that the upstream had closed while it was idle. */
function isStale(error: Error): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE';
}

function textOf(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  const text: string[] = [];
  if (Array.isArray(raw))
    for (const part of raw) text.push(typeof part === 'string' ? part : part.toString('latin1'));
  return text;
}

function pairsOf(flat: readonly string[]): [string, string][] {
  const pairs: [string, string][] = [];
  for (let at = 0; at + 1 < flat.length; at += 2) pairs.push([flat[at] ?? '', flat[at + 1] ?? '']);
  return pairs;
}
