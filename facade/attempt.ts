// One request sent to one upstream, once. It reports to the exchange until it has ended or was
// given up; whatever undici still has to say after that is nobody's concern any more.
//
// It speaks undici's older handler interface, the one that undici 7 itself works with: the newer one
// is a wrapper that also parses every head into an object, a fourteenth of all a request costs here.
import type { Readable } from 'node:stream';
import { errors, type Dispatcher } from 'undici';
import type { Passage } from './guards.ts';
import type { Leg } from './tracing.ts';
import type { Upstream } from './upstreams.ts';

export interface AnswerHead {
  readonly status: number;
  readonly message: string;
  /** Names and values by turns, as received. */
  readonly headers: readonly string[];
  /** What it announces of its body; -1 where it announces nothing. */
  readonly length: number;
}

export interface AttemptListener {
  /** 1xx: an answer follows. */
  onInterim(head: AnswerHead): void;
  onHead(head: AnswerHead): void;
  /** False asks for no more until `resume`. */
  onData(chunk: Buffer): boolean;
  onEnd(trailers: readonly string[]): void;
  onFail(error: Error): void;
}

export interface Outgoing {
  readonly path: string;
  readonly method: string;
  readonly headers: string[];
  readonly body: Readable | Buffer | null;
}

export class Attempt implements Dispatcher.DispatchHandler {
  readonly #listener: AttemptListener;
  readonly #leg: Leg | undefined;
  #passage: Passage | undefined;
  #abort: ((reason: Error) => void) | undefined;
  #resume: (() => void) | undefined;
  #over = false;

  constructor(listener: AttemptListener, passage: Passage, leg?: Leg) {
    this.#leg = leg;
    this.#listener = listener;
    this.#passage = passage;
  }

  /** Whether the request may have reached the upstream: a connection was found for it. */
  get sent(): boolean {
    return this.#abort !== undefined;
  }

  send(upstream: Upstream, { path, method, headers, body }: Outgoing): void {
    const options: Dispatcher.DispatchOptions & Pick<Upstream, 'servername'> = {
      path: upstream.prefix === '' ? path : upstream.prefix + path,
      method,
      headers,
      body,
      // Otherwise undici ends the connection of every HEAD.
      reset: false,
      servername: upstream.servername,
    };
    upstream.pool.dispatch(options, this);
  }

  /** Goes on with a body that `onData` has stopped. */
  resume(): void {
    this.#resume?.();
  }

  /** Gives it up; `failure` says that the upstream is to blame. */
  abandon(failure?: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#judge(failure);
    this.#leg?.end();
    this.#abort?.(failure ?? new Error('no longer wanted'));
  }

  onConnect(abort: (reason: Error) => void): void {
    this.#abort = abort;
    // It waited for a connection longer than its client or its deadline did: it is never sent.
    if (this.#over) abort(new Error('no longer wanted'));
  }

  onHeaders(status: number, raw: Buffer[], resume: () => void, message: string): boolean {
    if (this.#over) return true;
    const head = headOf(status, message, raw);
    if (status < 200) {
      this.#listener.onInterim(head);
      return true;
    }
    this.#resume = resume;
    this.#leg?.answered(status);
    if (isGatewayFailure(status)) this.#judge(new Error(`the upstream answered ${status}`));
    // What the listener throws makes it a broken answer: undici reports it back as an error.
    this.#listener.onHead(head);
    this.#succeed();
    return true;
  }

  onData(chunk: Buffer): boolean {
    return this.#over || this.#listener.onData(chunk);
  }

  onComplete(trailers: readonly (Buffer | string)[] | null): void {
    if (this.#over) return;
    this.#over = true;
    this.#leg?.end();
    this.#listener.onEnd(trailers === null ? NOTHING : trailers.map(textOf));
  }

  onError(error: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#judge(error instanceof errors.InvalidArgumentError ? undefined : error);
    this.#leg?.failed(error);
    this.#leg?.end();
    this.#listener.onFail(error);
  }

  #succeed(): void {
    this.#passage?.succeeded();
    this.#passage = undefined;
  }

  #judge(failure: Error | undefined): void {
    if (failure) this.#passage?.failed(failure);
    else this.#passage?.abandoned();
    this.#passage = undefined;
  }
}

const NOTHING: readonly string[] = [];

/** Answers of whatever stands before an application, which say nothing of the request. */
export function isGatewayFailure(status: number): boolean {
  return status === 502 || status === 503 || status === 504;
}

function headOf(status: number, message: string, raw: readonly Buffer[]): AnswerHead {
  const headers: string[] = [];
  let length = -1;
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = textOf(raw[at] ?? '');
    const value = textOf(raw[at + 1] ?? '');
    if (name.length === 14 && name.toLowerCase() === 'content-length') length = Number(value);
    headers.push(name, value);
  }
  return { status, message, headers, length };
}

function textOf(part: Buffer | string): string {
  return typeof part === 'string' ? part : part.toString('latin1');
}
