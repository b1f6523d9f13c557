// The workers of one facade: started, asked, started again when they die, stopped. Invariants:
//  1. until all have served once, the first failure ends everything: a mistake of the configuration is
//     told once, and nothing is tried again;
//  2. afterwards a dead worker is replaced, ever slower while its successors die young;
//  3. nobody waits without a limit for a worker that does not answer or does not end.
import { BanyanError, CATALOGUE, messageOf } from '../core/errors.ts';
import { sleep } from '../core/lifecycle.ts';
import type { Logger } from '../core/log.ts';
import { nextRestart } from './domain/restarts.ts';
import { isOurs, type FromWorker, type ToWorker } from './worker-messages.ts';

/** A process to lead; node:cluster's Worker is one. */
export interface WorkerProcess {
  readonly id: number;
  readonly process: { readonly pid?: number | undefined; kill(signal: 'SIGKILL'): unknown };
  isConnected(): boolean;
  send(message: ToWorker, callback: (error: Error | null) => void): unknown;
  on(event: 'message', listener: (message: unknown) => void): unknown;
  on(event: 'exit', listener: (code: number | null, signal: string | null) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

export interface CrewOptions {
  readonly size: number;
  readonly fork: () => WorkerProcess;
  readonly log: Logger;
  /** What a worker needs to drain, in milliseconds. */
  readonly drainMs: number;
  /** A worker's process has ended. */
  readonly onExit: (member: Member) => void;
}

/** A worker as it is known. */
export interface Member {
  readonly worker: number;
  readonly pid: number | undefined;
  readonly stage: 'starting' | 'listening' | 'ending';
  readonly replica: string | undefined;
}

/** For answers over IPC; a worker whose event loop is busy for longer stands as it was. */
const ANSWER_MS = 1_000;
/** What a worker has beside its drain. */
const STOP_MS = 5_000;

type Draft = { -readonly [Key in keyof Member]: Member[Key] } & {
  readonly handle: WorkerProcess;
  failure: Error | undefined;
};

export class Crew {
  readonly #options: CrewOptions;
  readonly #members = new Set<Draft>();
  readonly #asked = new Map<number, (value: unknown) => void>();
  readonly #stopping = new AbortController();
  readonly #serving = Promise.withResolvers<string>();
  #keeping: Promise<void>[] = [];
  #served = false;
  #questions = 0;
  #restarts = 0;

  constructor(options: CrewOptions) {
    this.#options = options;
    this.#serving.promise.catch(() => undefined);
  }

  /** Starts them; resolves with the URL once all listen. Rejects with what the first failure was. */
  async start(): Promise<string> {
    this.#keeping = Array.from({ length: this.#options.size }, () => this.#keep());
    return this.#serving.promise;
  }

  get members(): Member[] {
    return [...this.#members];
  }

  get restarts(): number {
    return this.#restarts;
  }

  /** What is missing until all that should run are ready. */
  missing(): string[] {
    const listening = this.members.filter(({ stage }) => stage === 'listening').length;
    const { size } = this.#options;
    return listening === size ? [] : [`${size - listening} of ${size} workers do not listen`];
  }

  /** Asks every worker that runs; undefined for those that do not answer in time. */
  async ask(what: 'figures' | 'state'): Promise<{ member: Member; value: unknown }[]> {
    return Promise.all(
      [...this.#members].map(async (member) => ({ member, value: await this.#ask(member, what) })),
    );
  }

  /** Lets them drain; what has not ended in time is killed. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const { handle } of this.#members) say(handle, { banyan: 'stop' });
    const timer = setTimeout(() => {
      for (const { handle } of this.#members) handle.process.kill('SIGKILL');
    }, this.#options.drainMs + STOP_MS);
    await Promise.all(this.#keeping);
    clearTimeout(timer);
  }

  async #keep(): Promise<void> {
    const { log } = this.#options;
    let failures = 0;
    for (;;) {
      const began = performance.now();
      const { pid, failure } = await this.#live();
      if (this.#isStopping()) return;
      if (!this.#served) {
        this.#serving.reject(failure);
        return;
      }
      const restart = nextRestart(failures, performance.now() - began);
      failures = restart.failures;
      this.#restarts += 1;
      log.warn('a worker has ended and is replaced', {
        pid,
        why: failure.message,
        inMs: restart.delayMs,
      });
      await sleep(restart.delayMs, this.#stopping.signal);
      if (this.#isStopping()) return;
    }
  }

  #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  /** One life of a worker; resolves with what it died of. */
  async #live(): Promise<{ pid: number | undefined; failure: Error }> {
    let handle: WorkerProcess;
    try {
      handle = this.#options.fork();
    } catch (error) {
      // The machine has no memory for it, or no more processes: that may pass.
      return { pid: undefined, failure: new Error(messageOf(error), { cause: error }) };
    }
    const { pid } = handle.process;
    const member: Draft = {
      handle,
      worker: handle.id,
      pid,
      stage: 'starting',
      replica: undefined,
      failure: undefined,
    };
    this.#members.add(member);
    handle.on('message', (message) => {
      if (isOurs(message)) this.#hear(member, message as FromWorker);
    });
    const how = await new Promise<string>((resolve) => {
      handle.on('exit', (code, signal) => {
        resolve(signal ?? `exit code ${code ?? '?'}`);
      });
      // A process that could not be made says so, and never ends.
      handle.on('error', (error) => {
        if (handle.process.pid === undefined) resolve(messageOf(error));
      });
    });
    this.#members.delete(member);
    this.#options.onExit(member);
    return { pid, failure: member.failure ?? new Error(`it ended with ${how}`) };
  }

  #hear(member: Draft, message: FromWorker): void {
    switch (message.banyan) {
      case 'replica':
        member.replica = message.id;
        break;
      case 'listening':
        member.stage = 'listening';
        if (!this.#served && this.missing().length === 0) {
          this.#served = true;
          this.#serving.resolve(message.url);
        }
        break;
      case 'ending':
        member.stage = 'ending';
        break;
      case 'failed':
        member.failure = errorOf(message);
        break;
      case 'answer':
        this.#asked.get(message.id)?.(message.value);
        break;
    }
  }

  #ask({ handle }: Draft, what: 'figures' | 'state'): Promise<unknown> {
    const id = (this.#questions += 1);
    return new Promise((resolve) => {
      const settle = (value: unknown): void => {
        clearTimeout(timer);
        this.#asked.delete(id);
        resolve(value);
      };
      const timer = setTimeout(settle, ANSWER_MS, undefined);
      this.#asked.set(id, settle);
      say(handle, { banyan: 'ask', id, what });
    });
  }
}

/** To one that has just died nothing can be said, and its exit follows. */
function say(handle: WorkerProcess, message: ToWorker): void {
  if (handle.isConnected()) handle.send(message, () => undefined);
}

function errorOf({ code, message, hint }: FromWorker & { banyan: 'failed' }): Error {
  return code !== undefined && code in CATALOGUE
    ? new BanyanError(code, message, { hint })
    : new Error(message);
}
