// Mixed load through the facade: readers, writers of the catalog, buyers. Each acknowledged write is
// put into the ledger with what it should have left behind; each write goes to a row of its own, so
// that all of them can be looked up one by one at the end.
import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'undici';
import type { Ledger } from './ledger.ts';

export interface LoadTargets {
  readonly facadeUrl: string;
  /** Products that the writers may change, each once; the rest is left to readers and buyers. */
  readonly writable: readonly number[];
  readonly buyable: readonly number[];
  readonly categories: readonly number[];
  readonly customers: readonly number[];
}

export interface Load {
  /** Milliseconds of each write since the last call, greatest first. */
  takeWriteTimes(): number[];
  stop(): Promise<void>;
}

const READERS = 6;
const READ_PAUSE_MS = 12;
const WRITERS = 3;
const WRITE_PAUSE_MS = 18;
const BUYERS = 2;
const BUY_PAUSE_MS = 25;

/** Starts the load; `phase` names where the capability is, for the ledger. */
export function startLoad(targets: LoadTargets, ledger: Ledger, phase: () => string): Load {
  const pool = new Pool(targets.facadeUrl, {
    connections: READERS + WRITERS + BUYERS,
    pipelining: 1,
  });
  const ending = new AbortController();
  const caller = new Caller(pool, ledger, phase);
  const workers = [
    ...repeat(READERS, (index) =>
      every(READ_PAUSE_MS, ending.signal, () => read(caller, targets, index)),
    ),
    ...repeat(WRITERS, (index) =>
      every(WRITE_PAUSE_MS, ending.signal, (round) => write(caller, ledger, targets, index, round)),
    ),
    ...repeat(BUYERS, (index) =>
      every(BUY_PAUSE_MS, ending.signal, (round) =>
        buy(caller, ledger, targets, index, round, phase()),
      ),
    ),
  ];
  return {
    takeWriteTimes: () => caller.takeWriteTimes(),
    stop: async () => {
      ending.abort();
      await Promise.all(workers);
      await pool.close();
    },
  };
}

class Caller {
  readonly #pool: Pool;
  readonly #ledger: Ledger;
  readonly #phase: () => string;
  #writeTimes: number[] = [];

  constructor(pool: Pool, ledger: Ledger, phase: () => string) {
    this.#pool = pool;
    this.#ledger = ledger;
    this.#phase = phase;
  }

  /** The parsed answer, or undefined for a failed request, which the ledger has then. */
  async call(method: 'GET' | 'POST' | 'PATCH', path: string, body?: object): Promise<unknown> {
    const started = performance.now();
    try {
      const answer = await this.#pool.request({
        method,
        path,
        headers: {
          cookie: `banyan_cohort=visitor-${Math.floor(Math.random() * 1_000)}`,
          ...(body && { 'content-type': 'application/json' }),
        },
        ...(body && { body: JSON.stringify(body) }),
      });
      const text = await answer.body.text();
      if (method !== 'GET') this.#writeTimes.push(performance.now() - started);
      this.#ledger.request();
      if (answer.statusCode < 300) return text === '' ? {} : JSON.parse(text);
      this.#ledger.failed({
        phase: this.#phase(),
        method,
        path,
        status: answer.statusCode,
        body: text.slice(0, 300),
      });
    } catch (error) {
      this.#ledger.request();
      this.#ledger.failed({ phase: this.#phase(), method, path, status: 0, body: String(error) });
    }
    return undefined;
  }

  takeWriteTimes(): number[] {
    return this.#writeTimes.splice(0).sort((a, b) => b - a);
  }
}

async function read(caller: Caller, targets: LoadTargets, reader: number): Promise<void> {
  const dice = Math.random();
  if (reader === 0 && dice < 0.05) await caller.call('GET', '/api/reports/low-stock');
  else if (dice < 0.6) await caller.call('GET', `/api/products/${one(targets.buyable)}`);
  else if (dice < 0.75)
    await caller.call(
      'GET',
      `/api/products?page=${1 + Math.floor(Math.random() * 20)}&pageSize=10`,
    );
  else if (dice < 0.9) await caller.call('GET', `/api/categories/${one(targets.categories)}`);
  else await caller.call('GET', `/api/customers/${one(targets.customers)}`);
}

async function write(
  caller: Caller,
  ledger: Ledger,
  targets: LoadTargets,
  writer: number,
  round: number,
): Promise<void> {
  const serial = round * WRITERS + writer;
  const price = `${1 + (serial % 900)}.${String(serial % 100).padStart(2, '0')}`;
  const id = targets.writable[serial];
  if (serial % 4 === 0 || id === undefined) {
    const number = `DEMO-${serial}`;
    const made = (await caller.call('POST', '/api/products', {
      number,
      name: `Made ${serial}`,
      description: `made by the demo, number ${serial}`,
      price,
      categoryId: targets.categories[0],
      kind: 'GOOD',
    })) as { id: number } | undefined;
    if (made) ledger.product({ id: made.id, number, name: `Made ${serial}`, price });
    return;
  }
  const changed = await caller.call('PATCH', `/api/products/${id}`, {
    name: `Changed ${serial}`,
    price,
  });
  if (changed) ledger.product({ id, number: undefined, name: `Changed ${serial}`, price });
}

async function buy(
  caller: Caller,
  ledger: Ledger,
  targets: LoadTargets,
  buyer: number,
  round: number,
  phase: string,
): Promise<void> {
  const reference = `demo-${buyer}-${round}`;
  const lines = [...new Set([one(targets.buyable), one(targets.buyable)])].map((productId) => ({
    productId,
    quantity: 1 + (round % 3),
  }));
  const placed = await caller.call('POST', '/api/orders', {
    customerId: one(targets.customers),
    reference,
    lines,
  });
  if (placed)
    ledger.order({
      reference,
      phase,
      quantity: lines.reduce((sum, line) => sum + line.quantity, 0),
      lines: lines.length,
    });
}

async function every(
  pauseMs: number,
  signal: AbortSignal,
  work: (round: number) => Promise<void>,
): Promise<void> {
  for (let round = 0; !signal.aborted; round++) {
    await work(round);
    await delay(pauseMs, undefined, { signal }).catch(() => undefined);
  }
}

function repeat<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}

function one(from: readonly number[]): number {
  return from[Math.floor(Math.random() * from.length)] ?? 0;
}
