// One request carried to an upstream and its answer carried back, streaming both ways. Every
// exchange ends exactly once, by `done`: with an upstream's whole answer, with a problem that the
// client gets (502, 503, 504), or with a connection torn down because a begun answer cannot be
// mended or the client has gone. Nothing waits without a limit.
//
// One deadline runs from the start to the answer's first byte, over all attempts. An upload that
// makes progress starts it anew, as long as `patient` says so; after the first byte the connection
// watches for silence.
//
// A failed attempt is followed by another, before the first byte only: at the same upstream when
// that can do no harm (the request was never sent, or may be repeated) and the budget allows; then
// at the other path, where there is one. A request never goes to the other path when it may have
// been carried out already and may not be repeated.
import { Answer } from './answer.ts';
import { closeAfter } from './closing.ts';
import { Attempt, isGatewayFailure, type AttemptListener } from './attempt.ts';
import type { AnswerHead } from './domain/answer-reader.ts';
import { Unforwardable } from './domain/request-line.ts';
import { readTrailers } from './domain/headers.ts';
import { CLIENT_GONE, type Job, type Way } from './job.ts';
import { ConnectTimeout } from './pool.ts';
import { answerProblem, PROBLEMS, type ProblemName } from './problem.ts';
import { Retries } from './retries.ts';
import { isEventStream } from './streams.ts';
import { uploadOf, type Upload } from './upload.ts';

/** Starts an exchange; it ends by `job.done`. */
export function exchange(job: Job): void {
  new Exchange(job).start();
}

/** Share of the deadline after which a silent path is given up for the other one. */
const FIRST_PATH_SHARE = 2 / 3;

class Exchange implements AttemptListener {
  readonly #job: Job;
  readonly #answer: Answer;
  readonly #startedAt = performance.now();
  #way: Way;
  #leave: (() => void) | undefined;
  #attempt: Attempt | undefined;
  #upload: Upload | undefined;
  /** Of the deadline. */
  #timer: NodeJS.Timeout | undefined;
  /** Of the moment before a retry. */
  #pause: NodeJS.Timeout | undefined;
  readonly #retries = new Retries();
  /** An attempt before this one has reached an upstream, as far as anybody knows. */
  #sent = false;
  #status = 0;
  #fellBack = false;
  /** There is no other path, or its turn has come. */
  #lastPath: boolean;
  #error: Error | undefined;
  #why: ProblemName | undefined;
  #over = false;

  constructor(job: Job) {
    this.#job = job;
    this.#way = job.way;
    this.#lastPath = job.fallback === undefined;
    this.#answer = new Answer(job.res, job.idleTimeoutMs, () => {
      this.#onClientClose();
      job.res.destroy();
    });
  }

  start(): void {
    const { res, timeoutMs } = this.#job;
    if (res.destroyed) {
      this.#finish(CLIENT_GONE, false);
      return;
    }
    const share = this.#lastPath ? 1 : FIRST_PATH_SHARE;
    this.#timer = setTimeout(onDeadline, timeoutMs * share, this);
    res.on('close', () => {
      this.#onClientClose();
    });
    this.#take(this.#way);
  }

  /** Whatever of the body came with the head is there. */
  receive(): void {
    if (this.#over || this.#upload) return;
    // The parser has stumbled over what stands behind it: nobody knows where it was meant to end.
    if (this.#job.req.socket.destroyed) {
      this.#onClientClose();
      return;
    }
    this.#upload = uploadOf(this.#job, () => {
      if (this.#job.patient()) this.#timer?.refresh();
    });
    this.send();
  }

  #take(way: Way): void {
    this.#leave?.();
    this.#way = way;
    this.#leave = way.guard.join();
    if (!this.#leave) {
      this.#turn(this.#mayHaveArrived ? 'broken' : 'busy');
      return;
    }
    way.guard.budget.deposit(this.#startedAt);
    // A body that came with its head is whole once the parser is through with what was read.
    if (this.#job.head.hasBody && !this.#upload) setImmediate(onRead, this);
    else this.send();
  }

  /** Makes an attempt: the first, or after a pause another one. */
  send(): void {
    this.#sent ||= this.#attempt?.sent === true;
    const { upstream, guard } = this.#way;
    const passage = guard.enter();
    if (!passage) {
      this.#turn(this.#mayHaveArrived ? 'broken' : 'circuit-open');
      return;
    }
    const { req, target, head } = this.#job;
    const leg = this.#job.trace?.leg({
      'banyan.path': upstream.path,
      'http.request.resend_count': this.#retries.count,
    });
    this.#attempt = new Attempt(this, passage, leg);
    this.#attempt.send(upstream, {
      path: target,
      method: req.method ?? 'GET',
      headers: leg ? leg.under(head.headers) : head.headers,
      body: this.#upload?.open() ?? null,
    });
  }

  onInterim(head: AnswerHead): void {
    this.#answer.interim(head);
  }

  onHead(head: AnswerHead): void {
    if (!this.#lastPath && isGatewayFailure(head.status) && this.#turnAway()) return;
    const read = this.#answer.fieldsOf(head);
    const { req, added, tap } = this.#job;
    this.#status = head.status;
    const headers = read.concat(added());
    // Answered before the upload was through: its rest must not be taken for the next request.
    const early = this.#upload !== undefined && !req.complete;
    if (early) headers.push('connection', 'close');
    // What Node refuses to write is a broken answer, and the deadline still runs for what follows it.
    this.#answer.begin(head.status, head.message, headers, head.length);
    if (early) closeAfter(req);
    clearTimeout(this.#timer);
    if (tap && this.#upload) tap.asked(this.#upload.body);
    this.#upload?.settle();
    tap?.head(head.status, read);
    if (head.length === -1 && isEventStream(read))
      this.#job.onEventStream(this.#way.upstream, () => {
        this.#endStream();
      });
  }

  onData(chunk: Buffer): boolean {
    this.#job.tap?.data(chunk);
    return this.#answer.data(chunk, this);
  }

  /** The client takes more. */
  resume(): void {
    this.#attempt?.resume();
  }

  onEnd(trailers: readonly string[]): void {
    if (this.#over) return;
    this.#finish(this.#status, true);
    try {
      this.#answer.end(readTrailers(trailers));
    } catch {
      // Node will not write them: what the client got is not whole.
      this.#job.res.destroy();
    }
  }

  onFail(error: Error): void {
    if (this.#over) return;
    const { res, onTrouble } = this.#job;
    if (error instanceof Unforwardable) {
      this.#end('unforwardable');
      return;
    }
    this.#error = error;
    onTrouble(this.#way.upstream, error);
    if (res.headersSent) {
      // The client can only learn from a broken connection that the answer is not whole.
      this.#finish(502, false);
      res.destroy();
    } else if (!this.#sendAgain()) this.#turn(error instanceof ConnectTimeout ? 'late' : 'broken');
  }

  /** What has come of the stream is all of it. */
  #endStream(): void {
    if (this.#over) return;
    this.#attempt?.abandon();
    this.#finish(this.#status, false);
    this.#answer.end([]);
  }

  /** A 503 promises that nobody has got the request. */
  get #mayHaveArrived(): boolean {
    return this.#sent || this.#attempt?.sent === true;
  }

  /** Plans another attempt at the same upstream, if that may be. */
  #sendAgain(): boolean {
    const sending = {
      sent: this.#attempt?.sent === true,
      whole: this.#upload?.repeatable !== false,
    };
    const pauseMs = this.#retries.next(this.#job, sending, this.#way.guard.budget);
    if (pauseMs === undefined) return false;
    this.#pause = setTimeout(onPauseOver, pauseMs, this);
    return true;
  }

  /** This path has failed: goes to the other one, or ends with the problem. */
  #turn(why: ProblemName): void {
    if (!this.#turnAway()) this.#end(why);
  }

  #turnAway(failure?: Error): boolean {
    if (this.#lastPath) return false;
    const way = this.#upload?.repeatable === false ? undefined : this.#job.fallback?.();
    // What is left of the deadline belongs to the path that is left.
    this.#lastPath = true;
    clearTimeout(this.#timer);
    const left = this.#startedAt + this.#job.timeoutMs - performance.now();
    this.#timer = setTimeout(onDeadline, Math.max(left, 1), this);
    if (!way) return false;
    clearTimeout(this.#pause);
    this.#attempt?.abandon(failure);
    this.#fellBack = true;
    this.#take(way);
    return true;
  }

  /** The time that this path may take is over. */
  expire(): void {
    // Nobody answers half a request: that is no upstream's fault.
    if (this.#upload?.awaitsClient) {
      this.#end('body-late');
      return;
    }
    const error = new Error('no answer within the deadline');
    if (!this.#lastPath) {
      this.#turnAway(error);
      return;
    }
    // Every connection was taken.
    const waited =
      this.#way.upstream.pool.isFull && !this.#mayHaveArrived && this.#error === undefined;
    this.#error = error;
    this.#job.onTrouble(this.#way.upstream, error);
    this.#end(waited ? 'busy' : 'late', error);
  }

  #end(why: ProblemName, failure?: Error): void {
    if (this.#over) return;
    this.#attempt?.abandon(failure);
    this.#why = why;
    const problem = PROBLEMS[why];
    this.#finish(problem.status, false);
    const { req, res, head } = this.#job;
    // It may have been carried out, and is to be seen by whoever looks.
    const added = this.#mayHaveArrived ? this.#job.added() : [];
    answerProblem(req, res, problem, head.requestId, added);
  }

  #onClientClose(): void {
    if (this.#over) return;
    this.#attempt?.abandon();
    this.#finish(CLIENT_GONE, false);
  }

  #finish(status: number, whole: boolean): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#pause);
    this.#answer.close();
    this.#upload?.settle();
    if (!whole) this.#upload?.close();
    this.#leave?.();
    const { tap, done } = this.#job;
    if (whole) tap?.end();
    else tap?.fail();
    done({
      status,
      upstream: this.#way.upstream,
      retries: this.#retries.count,
      fellBack: this.#fellBack,
      bytes: this.#answer.bytes,
      why: this.#why,
    });
  }
}

function onRead(exchange: Exchange): void {
  exchange.receive();
}

function onDeadline(exchange: Exchange): void {
  exchange.expire();
}

function onPauseOver(exchange: Exchange): void {
  exchange.send();
}
