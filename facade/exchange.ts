// One request carried to an upstream and its answer carried back, streaming both ways. Every
// exchange ends exactly once, by `done`: with an upstream's whole answer, with a problem that the
// client gets (502, 503, 504), or with a connection torn down because a begun answer cannot be
// mended or the client has gone. Nothing waits without a limit.
//
// One deadline runs from the start to the answer's first byte, over all attempts. An upload that
// makes progress starts it anew, as long as `patient` says so; after the first byte undici watches
// for silence.
//
// A failed attempt is followed by another, before the first byte only: at the same upstream when
// that can do no harm (the request was never sent, or may be repeated) and the budget allows; then
// at the other path, where there is one. A request never goes to the other path when it may have
// been carried out already and may not be repeated.
import { ExponentialBackoff, fullJitterGenerator, type IBackoff } from 'cockatiel';
import { errors } from 'undici';
import { Answer } from './answer.ts';
import { closeAfter } from './closing.ts';
import { Attempt, isGatewayFailure, type AnswerHead, type AttemptListener } from './attempt.ts';
import { readResponseHead, readTrailers } from './domain/headers.ts';
import { CLIENT_GONE, type Job, type Way } from './job.ts';
import { answerProblem, PROBLEMS, type ProblemName } from './problem.ts';
import { passInterim } from './status-line.ts';
import { sendContinue, Upload } from './upload.ts';

/** Starts an exchange; it ends by `job.done`. */
export function exchange(job: Job): void {
  new Exchange(job).start();
}

const BACKOFF = new ExponentialBackoff({
  generator: fullJitterGenerator,
  initialDelay: 25,
  maxDelay: 250,
});
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
  #backoff: IBackoff<unknown> | undefined;
  #status = 0;
  #retries = 0;
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
    const { req, res, head, patient, repeatable, retry } = this.#job;
    this.#upload = new Upload({
      req,
      keeps: repeatable,
      mostKept: retry.bodyBytes,
      onFirstPull: () => {
        if (head.expectsContinue) sendContinue(res);
      },
      onProgress: () => {
        if (patient()) this.#timer?.refresh();
      },
    });
    this.#try();
  }

  #take(way: Way): void {
    this.#leave?.();
    this.#way = way;
    this.#leave = way.guard.join();
    if (!this.#leave) {
      this.#turn('busy');
      return;
    }
    way.guard.budget.deposit(this.#startedAt);
    // A body that came with its head is whole once the parser is through with what was read.
    if (this.#job.head.hasBody && !this.#upload) setImmediate(onRead, this);
    else this.#try();
  }

  #try(): void {
    const { upstream, guard } = this.#way;
    const passage = guard.enter();
    if (!passage) {
      this.#turn('circuit-open');
      return;
    }
    const { req, target, head } = this.#job;
    const leg = this.#job.trace?.leg({
      'banyan.path': upstream.path,
      'http.request.resend_count': this.#retries,
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
    if (this.#job.req.httpVersionMinor > 0)
      passInterim(this.#job.res, head.status, this.#read(head));
  }

  onHead(head: AnswerHead): void {
    if (!this.#lastPath && isGatewayFailure(head.status) && this.#turnAway()) return;
    const read = this.#read(head);
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
    this.#upload?.settle();
    tap?.head(head.status, read);
    // Neither has a body, but undici takes a length on a 304, which RFC 9110 allows, for a promise of one.
    if (head.status === 204 || head.status === 304) this.onEnd([]);
  }

  /** The fields that cross. Throws for an answer that two clients could read differently: it counts as broken. */
  #read({ status, headers }: AnswerHead): readonly string[] {
    const { method, httpVersionMinor } = this.#job.req;
    const bodiless = method === 'HEAD' || status < 200 || status === 204 || status === 304;
    const read = readResponseHead(headers, { status, bodiless, chunks: httpVersionMinor > 0 });
    if ('kind' in read) throw new Error(read.why);
    return read;
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
    this.#answer.end(readTrailers(trailers));
  }

  onFail(error: Error): void {
    // A 304 ends with its head, but undici misses the body whose length it tells.
    if (this.#over) return;
    const { res, onTrouble } = this.#job;
    if (error instanceof errors.InvalidArgumentError) {
      this.#end('unforwardable');
      return;
    }
    this.#error = error;
    onTrouble(this.#way.upstream, error);
    if (res.headersSent) {
      // The client can only learn from a broken connection that the answer is not whole.
      this.#finish(502, false);
      res.destroy();
    } else if (!this.#sendAgain()) {
      const late = error instanceof errors.ConnectTimeoutError;
      this.#turn(late ? 'late' : 'broken');
    }
  }

  /** Plans another attempt at the same upstream, if that may be. */
  #sendAgain(): boolean {
    const { retry, repeatable } = this.#job;
    if (this.#retries >= retry.attempts) return false;
    if (this.#attempt?.sent === true && !repeatable) return false;
    if (this.#upload?.repeatable === false) return false;
    if (!this.#way.guard.budget.withdraw(performance.now())) return false;
    this.#retries += 1;
    this.#backoff = (this.#backoff ?? BACKOFF).next(undefined);
    this.#pause = setTimeout(onPauseOver, this.#backoff.duration, this);
    return true;
  }

  pauseOver(): void {
    this.#try();
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
    const error = new Error('no answer within the deadline');
    if (!this.#lastPath) {
      this.#turnAway(error);
      return;
    }
    const waited = this.#attempt?.sent === false && this.#error === undefined;
    this.#error = error;
    this.#job.onTrouble(this.#way.upstream, error);
    // Every connection was taken: it was never sent.
    this.#end(waited ? 'busy' : 'late', error);
  }

  #end(why: ProblemName, failure?: Error): void {
    if (this.#over) return;
    this.#attempt?.abandon(failure);
    this.#why = why;
    const problem = PROBLEMS[why];
    this.#finish(problem.status, false);
    const { req, res, head } = this.#job;
    answerProblem(req, res, problem, head.requestId);
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
      retries: this.#retries,
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
  exchange.pauseOver();
}
