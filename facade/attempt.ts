// One request sent to one upstream, once. It reports to the exchange until it has ended or was
// given up, and tells the guard what that says of the upstream.
import type { AnswerHead } from './domain/answer-reader.ts';
import { Unforwardable } from './domain/request-line.ts';
import type { Passage } from './guards.ts';
import type { AnswerListener, Outgoing, Sending } from './sending.ts';
import type { Leg } from './tracing.ts';
import type { Upstream } from './upstreams.ts';

export interface AttemptListener {
  /** 1xx: an answer follows. */
  onInterim(head: AnswerHead): void;
  onHead(head: AnswerHead): void;
  /** False asks for no more until `resume`; what has been read by then comes all the same. */
  onData(chunk: Buffer): boolean;
  onEnd(trailers: readonly string[]): void;
  onFail(error: Error): void;
}

export class Attempt implements AnswerListener {
  readonly #listener: AttemptListener;
  readonly #leg: Leg | undefined;
  #passage: Passage | undefined;
  #sending: Sending | undefined;
  #sent = false;
  #over = false;

  constructor(listener: AttemptListener, passage: Passage, leg?: Leg) {
    this.#leg = leg;
    this.#listener = listener;
    this.#passage = passage;
  }

  /** Whether the request may have reached the upstream: a connection was found for it. */
  get sent(): boolean {
    return this.#sent;
  }

  send({ pool, prefix }: Upstream, outgoing: Outgoing): void {
    const path = prefix === '' ? outgoing.path : prefix + outgoing.path;
    try {
      this.#sending = pool.send({ ...outgoing, path }, this);
    } catch (error) {
      this.onFail(error as Error);
    }
  }

  /** Goes on with a body that `onData` has stopped. */
  resume(): void {
    this.#sending?.resume();
  }

  /** Gives it up; `failure` says that the upstream is to blame. */
  abandon(failure?: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#judge(failure);
    this.#leg?.end();
    this.#sending?.giveUp();
  }

  onConnection(): void {
    this.#sent = true;
  }

  onHead(head: AnswerHead): void {
    const { status } = head;
    if (status < 200) {
      this.#listener.onInterim(head);
      return;
    }
    this.#leg?.answered(status);
    if (isGatewayFailure(status)) this.#judge(new Error(`the upstream answered ${status}`));
    // What the listener throws makes it a broken answer, and comes back as a failure.
    this.#listener.onHead(head);
    this.#succeed();
  }

  onData(piece: Buffer): boolean {
    return this.#over || this.#listener.onData(piece);
  }

  onEnd(trailers: readonly string[]): void {
    if (this.#over) return;
    this.#over = true;
    this.#leg?.end();
    this.#listener.onEnd(trailers);
  }

  onFail(error: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#judge(error instanceof Unforwardable ? undefined : error);
    this.#leg?.failed(error);
    this.#leg?.end();
    this.#listener.onFail(error);
  }

  #succeed(): void {
    this.#passage?.succeeded();
    this.#passage = undefined;
  }

  #judge(failure: Error | undefined): void {
    if (failure) this.#passage?.failed(failure, this.#sent);
    else this.#passage?.abandoned();
    this.#passage = undefined;
  }
}

/** Answers of whatever stands before an application, which say nothing of the request. */
export function isGatewayFailure(status: number): boolean {
  return status === 502 || status === 503 || status === 504;
}
