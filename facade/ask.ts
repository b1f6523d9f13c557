// Asks an upstream on the toolkit's own behalf and takes the whole answer into memory, within limits
// of bytes and time: for shadow copies and their repetitions, never for a client. Whatever the other
// side does, an answer that is not whole in time is none, and its connection is closed.
import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import type { Allowance } from './allowance.ts';
import type { Asked, Question } from './asked.ts';
import { plainAnswer } from './decode.ts';
import { COPY_FIELD } from './domain/field-names.ts';
import { Gathering } from './gather.ts';
import type { Purse } from './memory.ts';
import type { CopyPool } from './copy-pool.ts';
import type { Upstream } from './upstreams.ts';

// A copy asks for the whole, plain answer, whatever the client already had of it.
const NOT_COPIED = new Set([
  'accept-encoding',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'range',
]);

/** The same question without conditions, ranges and compression, marked as a copy. */
export function copyOf(question: Question): Question {
  const headers: string[] = [];
  for (let at = 0; at + 1 < question.headers.length; at += 2) {
    const name = question.headers[at] ?? '';
    if (!NOT_COPIED.has(name.toLowerCase())) headers.push(name, question.headers[at + 1] ?? '');
  }
  headers.push('accept-encoding', 'identity', COPY_FIELD, '1');
  return { ...question, headers };
}

export interface AskerOptions {
  readonly timeoutMs: number;
  readonly bodyBytes: number;
  readonly cpu: Pick<Allowance, 'spend'>;
}

/** Milliseconds of processor that one exchange costs beside the reading of its answer; measured, roughly. */
const ASK_MS = 0.08;
/** Pieces of one body: each costs about as much as a kilobyte, however small it is. */
const MOST_PIECES = 4_096;
/** Interim answers (1xx) before the answer: one is normal, an endless row of them an attack. */
const MOST_INTERIM = 8;

export class Asker {
  readonly #options: AskerOptions;
  readonly #open = new Set<Asking>();
  #closed = false;

  constructor(options: AskerOptions) {
    this.#options = options;
  }

  /** Never rejects. The answer's body stays taken from `purse`; `wanted` names the headers to keep. */
  async ask(
    upstream: Upstream<CopyPool>,
    question: Question,
    wanted: ReadonlySet<string>,
    purse: Purse,
  ): Promise<Asked> {
    const { timeoutMs, bodyBytes, cpu } = this.#options;
    if (this.#closed) return { kind: 'silent', why: 'given up' };
    const asked = await new Promise<Asked>((resolve) => {
      const asking = new Asking(
        { wanted, bodyBytes, gathering: new Gathering(purse, bodyBytes), timeoutMs },
        question.method === 'HEAD',
        (result) => {
          this.#open.delete(asking);
          cpu.spend(ASK_MS);
          resolve(result);
        },
      );
      this.#open.add(asking);
      upstream.pool.dispatch(
        {
          path: upstream.prefix + question.target,
          method: question.method,
          headers: question.headers as string[],
          ...(question.body && { body: question.body }),
        },
        asking,
      );
    });
    return asked.kind === 'answer' ? plainAnswer(asked.answer, bodyBytes, purse, cpu) : asked;
  }

  /** Ends everything that is asked; nothing is asked any more. */
  close(): void {
    this.#closed = true;
    for (const one of this.#open) one.end({ kind: 'silent', why: 'given up' });
  }
}

interface Limits {
  readonly wanted: ReadonlySet<string>;
  readonly bodyBytes: number;
  readonly gathering: Gathering;
  readonly timeoutMs: number;
}

class Asking implements Dispatcher.DispatchHandler {
  readonly #limits: Limits;
  readonly #isHead: boolean;
  readonly #done: (asked: Asked) => void;
  readonly #timer: NodeJS.Timeout;
  readonly #headers: Record<string, string> = {};
  #controller: Dispatcher.DispatchController | undefined;
  #status = 0;
  #interim = 0;
  #pieces = 0;
  #over = false;

  constructor(limits: Limits, isHead: boolean, done: (asked: Asked) => void) {
    this.#limits = limits;
    this.#isHead = isHead;
    this.#done = done;
    this.#timer = setTimeout(onLate, limits.timeoutMs, this);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // It waited for a connection for too long: it is never sent.
    if (this.#over) controller.abort(new Error('no longer wanted'));
  }

  onResponseStart(_controller: unknown, status: number, given: IncomingHttpHeaders): void {
    if (this.#over) return;
    if (status < 200) {
      this.#interim += 1;
      if (this.#interim > MOST_INTERIM) this.end({ kind: 'silent', why: 'broken answer' });
      return;
    }
    this.#status = status;
    for (const name of this.#limits.wanted) {
      const value = given[name];
      if (value !== undefined)
        this.#headers[name] = Array.isArray(value) ? value.join(', ') : value;
    }
    if (!this.#isHead && Number(given['content-length'] ?? 0) > this.#limits.bodyBytes)
      this.end({ kind: 'too-large' });
  }

  onResponseData(_controller: unknown, chunk: Buffer): void {
    if (this.#over) return;
    this.#pieces += 1;
    const refused = this.#pieces > MOST_PIECES ? 'too-large' : this.#limits.gathering.add(chunk);
    if (refused) this.end({ kind: refused === 'memory' ? 'no-room' : 'too-large' });
  }

  onResponseEnd(): void {
    if (this.#over) return;
    const body = this.#limits.gathering.take();
    this.#finish({
      kind: 'answer',
      answer: { status: this.#status, headers: this.#headers, body },
    });
  }

  onResponseError(_controller: unknown, error: Error): void {
    const why = (error as NodeJS.ErrnoException).code ?? 'broken answer';
    this.end({ kind: 'silent', why });
  }

  /** Ends it without an answer, and its connection with it. */
  end(asked: Asked): void {
    if (this.#over) return;
    this.#limits.gathering.drop();
    this.#finish(asked);
    this.#controller?.abort(new Error('no longer wanted'));
  }

  #finish(asked: Asked): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#done(asked);
  }
}

function onLate(asking: Asking): void {
  asking.end({ kind: 'silent', why: 'no answer in time' });
}
