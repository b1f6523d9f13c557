// One request sent to one upstream, once. It reports to the exchange until it has ended or was
// given up; whatever undici still has to say after that is nobody's concern any more.
import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { errors, type Dispatcher } from 'undici';
import type { Passage } from './guards.ts';
import type { Upstream } from './upstreams.ts';

export interface AnswerHead {
  readonly status: number;
  readonly message: string | undefined;
  /** Names and values by turns, as received. */
  readonly headers: readonly string[];
  /** What it announces of its body; -1 where it announces nothing. */
  readonly length: number;
}

export interface AttemptListener {
  onHead(head: AnswerHead): void;
  onData(chunk: Buffer, controller: Dispatcher.DispatchController): void;
  onEnd(trailers: readonly string[]): void;
  onFail(error: Error): void;
}

export interface Outgoing {
  readonly path: string;
  readonly method: string;
  readonly headers: string[];
  readonly body: Readable | null;
}

export class Attempt implements Dispatcher.DispatchHandler {
  readonly #listener: AttemptListener;
  #passage: Passage | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #over = false;

  constructor(listener: AttemptListener, passage: Passage) {
    this.#listener = listener;
    this.#passage = passage;
  }

  /** Whether the request may have reached the upstream: a connection was found for it. */
  get sent(): boolean {
    return this.#controller !== undefined;
  }

  send(upstream: Upstream, { path, method, headers, body }: Outgoing): void {
    upstream.pool.dispatch(
      {
        path: upstream.prefix === '' ? path : upstream.prefix + path,
        method: method,
        headers,
        body,
        ...(upstream.servername === undefined ? undefined : { servername: upstream.servername }),
      },
      this,
    );
  }

  /** Gives it up; `failure` says that the upstream is to blame. */
  abandon(failure?: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#judge(failure);
    this.#controller?.abort(failure ?? new Error('no longer wanted'));
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
    if (status < 200 || this.#over) return;
    if (isGatewayFailure(status)) this.#judge(new Error(`the upstream answered ${status}`));
    else this.#succeed();
    const length = given['content-length'];
    this.#listener.onHead({
      status,
      message,
      headers: textOf(controller.rawHeaders),
      length: typeof length === 'string' ? Number(length) : -1,
    });
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#over) this.#listener.onData(chunk, controller);
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    if (this.#over) return;
    this.#over = true;
    this.#listener.onEnd(textOf(controller.rawTrailers));
  }

  onResponseError(_controller: unknown, error: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#judge(error instanceof errors.InvalidArgumentError ? undefined : error);
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

/** Answers of whatever stands before an application, which say nothing of the request. */
export function isGatewayFailure(status: number): boolean {
  return status === 502 || status === 503 || status === 504;
}

function textOf(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  const text: string[] = [];
  if (Array.isArray(raw))
    for (const part of raw) text.push(typeof part === 'string' ? part : part.toString('latin1'));
  return text;
}
