// Open-loop load: requests are due at a fixed rate, whatever the answers do, and a latency counts
// from when its request was due. So a stall hits everything that was due meanwhile, as it would hit
// real clients. Failures are counted, not thrown.
import { sleep } from '../core/lifecycle.ts';
import { Connection } from './connection.ts';
import { requestBytes } from './request.ts';

export interface OpenLoad {
  readonly url: string;
  readonly connections: number;
  readonly perSecond: number;
  readonly ms: number;
  /** As long at the beginning, while connections are made, latencies do not count. */
  readonly warmMs: number;
}

export interface OpenLoadResult {
  readonly answers: number;
  /** Answers other than 200, lost connections, and requests without an answer at the end. */
  readonly failed: number;
  /** Milliseconds of each answer. */
  readonly latencies: readonly number[];
}

/** How long the last answers are waited for. */
const GRACE_MS = 5_000;

/** Sends GETs at the rate for the given time, and waits for the last answers. */
export async function openLoad(load: OpenLoad): Promise<OpenLoadResult> {
  const base = new URL(load.url);
  const latencies: number[] = [];
  const began = performance.now();
  const counted = began + load.warmMs;
  let failed = 0;
  /** Times at which requests were due that no connection was free for. */
  const due: number[] = [];
  const idle: Client[] = [];
  const clients = Array.from({ length: load.connections }, (_, nth) => {
    const client = new Client(base, nth, (client, good, dueAt) => {
      if (!good) failed += 1;
      else if (dueAt >= counted) latencies.push(performance.now() - dueAt);
      const next = due.shift();
      if (next === undefined) idle.push(client);
      else client.ask(next);
    });
    idle.push(client);
    return client;
  });
  let sent = 0;
  for (let now = began; now < began + load.ms; now = performance.now()) {
    for (; began + (sent * 1000) / load.perSecond <= now; sent++) {
      const dueAt = began + (sent * 1000) / load.perSecond;
      const client = idle.pop();
      if (client) client.ask(dueAt);
      else due.push(dueAt);
    }
    await sleep(1);
  }
  const deadline = performance.now() + GRACE_MS;
  while (idle.length < clients.length && performance.now() < deadline) await sleep(5);
  for (const client of clients) client.close();
  // Those that have no answer by now will get none.
  const unanswered = clients.length - idle.length + due.length;
  return { answers: latencies.length, failed: failed + unanswered, latencies };
}

class Client {
  readonly #connection: Connection;
  readonly #request: Buffer;
  #dueAt = 0;

  constructor(base: URL, nth: number, done: (self: Client, good: boolean, dueAt: number) => void) {
    this.#request = requestBytes(base, 'GET', nth);
    this.#connection = new Connection(base, {
      answered: (status) => {
        done(this, status === '200', this.#dueAt);
      },
      lost: () => {
        done(this, false, this.#dueAt);
      },
    });
  }

  ask(dueAt: number): void {
    this.#dueAt = dueAt;
    this.#connection.send(this.#request);
  }

  close(): void {
    this.#connection.close();
  }
}
