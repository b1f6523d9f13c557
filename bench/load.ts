// Closed-loop load: each connection asks again as soon as it is answered. Cheap enough not to be the
// bottleneck of a proxy in Node. An answer other than 200, or a lost connection, is an error: a
// contender that fails is not fast.
import { Connection } from './connection.ts';
import { requestPieces, type Shape } from './request.ts';

export interface Load {
  readonly url: string;
  readonly connections: number;
  readonly ms: number;
  /** GET when left out. */
  readonly shape?: Shape;
}

export interface LoadResult {
  readonly answers: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Asks for the given time. Rejects at the first wrong answer. */
export async function generateLoad({ url, connections, ms, shape }: Load): Promise<LoadResult> {
  const clients = clientsOf(url, connections, shape);
  try {
    return await loadBy(clients, ms);
  } finally {
    for (const client of clients) client.close();
  }
}

/** A client for each connection; they connect when they first ask. GETs when `shape` is left out. */
export function clientsOf(url: string, count: number, shape: Shape = 'GET'): Client[] {
  const base = new URL(url);
  return Array.from(
    { length: count },
    (_, nth) => new Client(base, requestPieces(base, shape, nth)),
  );
}

/** Lets clients ask for the given time; their connections stay open. Rejects at the first wrong answer. */
export async function loadBy(clients: readonly Client[], ms: number): Promise<LoadResult> {
  const latencies: number[] = [];
  const began = performance.now();
  await Promise.all(
    clients.map((client) => client.askUntil(began + ms, (latency) => latencies.push(latency))),
  );
  const seconds = (performance.now() - began) / 1000;
  return {
    answers: latencies.length,
    perSecond: latencies.length / seconds,
    ...percentilesOf(latencies),
  };
}

/** Sorts the latencies. */
export function percentilesOf(latencies: number[]): { p50Ms: number; p99Ms: number } {
  latencies.sort((a, b) => a - b);
  const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? 0;
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
}

/** One connection that asks the same again and again. */
export class Client {
  readonly #request: Buffer;
  /** What is sent after it. */
  readonly #rest: Buffer | undefined;
  readonly #connection: Connection;
  #answered: (status: string) => void = () => undefined;
  #lost: (error: Error) => void = () => undefined;

  constructor(base: URL, [request = Buffer.alloc(0), rest]: readonly Buffer[]) {
    this.#request = request;
    this.#rest = rest;
    this.#connection = new Connection(base, {
      answered: (status) => {
        this.#answered(status);
      },
      lost: (error) => {
        this.#lost(error);
      },
    });
  }

  /** Asks at least once, and again until then; at once when answered. */
  askUntil(until: number, onAnswer: (ms: number) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      let sentAt = performance.now();
      this.#lost = reject;
      this.#answered = (status) => {
        const now = performance.now();
        if (status !== '200') {
          this.close();
          reject(new Error(`unexpected answer: HTTP/1.1 ${status}`));
          return;
        }
        onAnswer(now - sentAt);
        if (now >= until) {
          resolve();
          return;
        }
        sentAt = now;
        this.#ask();
      };
      this.#ask();
    });
  }

  #ask(): void {
    this.#connection.send(this.#request);
    const rest = this.#rest;
    if (rest)
      setImmediate(() => {
        this.#connection.sendRest(rest);
      });
  }

  /** Of its connection; undefined while it has none. */
  get port(): number | undefined {
    return this.#connection.port;
  }

  close(): void {
    this.#connection.close();
  }
}
