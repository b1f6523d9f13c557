// Open-loop load: requests are due at a fixed rate, whatever the answers do, and a latency counts
// from when its request was due, also while no connection is free for it. So a stall hits everything
// that was due meanwhile, as it would hit real clients. Failures are counted, not thrown. What the
// generator was late by itself does not count; and what was under way while it stood still, or while
// the upstream did (a probe asks that directly), says nothing of what is measured and is left out.
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
  /** Answers by itself, past what is measured. */
  readonly probeUrl: string;
}

export interface OpenLoadResult {
  readonly answers: number;
  /** Answers other than 200, lost connections, and requests without an answer at the end. */
  readonly failed: number;
  /** Milliseconds of each answer that counts. */
  readonly latencies: readonly number[];
  /** Answers that were under way while the probe or the generator was late. */
  readonly leftOut: number;
}

/** A probe that takes longer was late. */
const LATE_MS = 2;
/** How often it is looked what is due, and how much later at most. */
const LOOK_MS = 1;
const LATE_LOOK_MS = LOOK_MS + LATE_MS;

/** How long the last answers are waited for. */
const GRACE_MS = 5_000;

/** Sends GETs at the rate for the given time, and waits for the last answers. */
export async function openLoad(load: OpenLoad): Promise<OpenLoadResult> {
  const base = new URL(load.url);
  const answered: Span[] = [];
  const probe = new Probe(new URL(load.probeUrl));
  const began = performance.now();
  const counted = began + load.warmMs;
  let failed = 0;
  /** Times at which requests were due that no connection was free for. */
  const due: number[] = [];
  const idle: Client[] = [];
  const clients = Array.from({ length: load.connections }, (_, nth) => {
    const client = new Client(base, nth, (client, good, dueAt) => {
      if (!good) failed += 1;
      else if (dueAt >= counted) answered.push({ from: dueAt, to: performance.now() });
      const next = due.shift();
      if (next === undefined) idle.push(client);
      else client.ask(next);
    });
    idle.push(client);
    return client;
  });
  const stoodStill: Span[] = [];
  let looked = began;
  let sent = 0;
  for (let now = began; now < began + load.ms; now = performance.now()) {
    if (now - looked > LATE_LOOK_MS) stoodStill.push({ from: looked, to: now });
    looked = now;
    for (; began + (sent * 1000) / load.perSecond <= now; sent++) {
      const client = idle.pop();
      if (client) client.ask(now);
      else due.push(now);
    }
    await sleep(LOOK_MS);
  }
  const deadline = performance.now() + GRACE_MS;
  while (idle.length < clients.length && performance.now() < deadline) await sleep(5);
  for (const client of clients) client.close();
  const late = [...probe.end(), ...stoodStill];
  // Those that have no answer by now will get none.
  const unanswered = clients.length - idle.length + due.length;
  const clear = answered.filter(
    ({ from, to }) => !late.some((one) => one.from < to && from < one.to),
  );
  return {
    answers: answered.length,
    failed: failed + unanswered,
    latencies: clear.map(({ from, to }) => to - from),
    leftOut: answered.length - clear.length,
  };
}

interface Span {
  readonly from: number;
  readonly to: number;
}

/** Asks again and again, a millisecond after each answer. */
class Probe {
  readonly #client: Client;
  readonly #late: Span[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(url: URL) {
    this.#client = new Client(url, 0, (client, _good, from) => {
      const to = performance.now();
      if (to - from > LATE_MS) this.#late.push({ from, to });
      this.#timer = setTimeout(() => {
        client.ask(to + 1);
      }, 1);
    });
    this.#client.ask(performance.now());
  }

  /** The spans in which it was late. */
  end(): readonly Span[] {
    clearTimeout(this.#timer);
    this.#client.close();
    return this.#late;
  }
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
