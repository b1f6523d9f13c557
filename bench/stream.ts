// What flows through the benchmarks of sync: rows that are written once and drained by each contender in
// turn, each held back meanwhile; and how long single commits take to arrive.
import { sleep } from '../core/lifecycle.ts';
import { ROW, type Stage } from './sync-stage.ts';

export const LATENCY_RATE = 2_000;
const LATENCY_MS = 15_000;
const TICKS_PER_SECOND = 200;
/** Steps of this size come to each row of a round thousand once. */
const PRIME = 7_919;

export interface Shape {
  readonly name: string;
  readonly per: number;
  /** Of rows that lie beside each other in the table, or all over it. */
  readonly updates: false | 'beside' | 'apart';
  readonly rows: number;
}

/** Writes once a round what every contender then drains. */
export class Stream {
  readonly #stage: Stage;
  readonly #shape: Shape;
  readonly #behind = new Map<string, number>();
  #next: { first: number };

  constructor(stage: Stage, shape: Shape, contenders: readonly string[], next: { first: number }) {
    this.#stage = stage;
    this.#shape = shape;
    this.#next = next;
    for (const name of contenders) this.#behind.set(name, 0);
  }

  /** Rows that this contender has to drain. */
  async rowsFor(name: string): Promise<number> {
    if (this.#behind.get(name) === 0) await this.#write();
    const rows = this.#behind.get(name) ?? 0;
    this.#behind.set(name, 0);
    return rows;
  }

  async #write(): Promise<void> {
    const { rows, per, updates } = this.#shape;
    const txs = Math.round(rows / per);
    const written = txs * per;
    const first = updates ? this.#next.first - written : this.#next.first;
    const stride = updates === 'apart' ? PRIME : updates === 'beside' ? 1 : 0;
    await this.#stage.shop.query(`CALL load(${first}, ${txs}, ${per}, ${stride})`);
    if (!updates) this.#next.first += written;
    for (const [name, behind] of this.#behind) this.#behind.set(name, behind + written);
  }
}

/** One process that is kept from working until its turn comes, warm and connected. */
export class Held {
  /** Negative: of the group of processes that this one leads. */
  readonly #pid: number;

  constructor(pid: number) {
    this.#pid = pid;
    process.kill(pid, 'SIGSTOP');
    // Whoever is stopped would not hear that it is to end.
    process.once('exit', () => {
      this.release();
    });
  }

  /** Rows a second until `done`. */
  async drain(rows: number, done: () => Promise<void>): Promise<number> {
    const began = performance.now();
    process.kill(this.#pid, 'SIGCONT');
    try {
      await done();
      return rows / ((performance.now() - began) / 1_000);
    } finally {
      process.kill(this.#pid, 'SIGSTOP');
    }
  }

  /** Lets it go; nothing happens where it has ended. */
  release(): void {
    try {
      process.kill(this.#pid, 'SIGCONT');
    } catch {
      // It has ended.
    }
  }
}

/** Milliseconds from the answer to a commit at the source until its rows are seen at the target. */
export async function latencies(stage: Stage, next: { first: number }): Promise<number[]> {
  const ticks = (LATENCY_MS / 1_000) * TICKS_PER_SECOND;
  const per = LATENCY_RATE / TICKS_PER_SECOND;
  const waiting: { readonly last: number; readonly at: number }[] = [];
  const found: number[] = [];
  const over = new AbortController();
  const look = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const { rows } = await stage.service.query<{ last: string }>(
        'SELECT max(id)::text AS last FROM product',
      );
      const now = performance.now();
      const last = Number(rows[0]?.last);
      for (let one = waiting[0]; one && one.last <= last; one = waiting[0]) {
        found.push(now - one.at);
        waiting.shift();
      }
      await sleep(1);
    }
  };
  const looking = look();
  // What is not on the source's disk is not sent.
  await stage.shop.query('SET synchronous_commit = on');
  const began = performance.now();
  for (let tick = 0; tick < ticks; tick++) {
    await sleep(Math.max(0, began + (tick * 1_000) / TICKS_PER_SECOND - performance.now()));
    const last = next.first + per - 1;
    await stage.shop.query(
      `INSERT INTO item SELECT ${ROW} FROM generate_series($1::bigint, $2::bigint) i`,
      [next.first, last],
    );
    waiting.push({ last, at: performance.now() });
    next.first = last + 1;
  }
  await sleep(2_000);
  over.abort();
  await looking;
  if (waiting.length > 0) throw new Error(`${waiting.length} commits have not arrived`);
  return found;
}

/** The figure below which this share of sorted ones lies, to a tenth. */
export function percentile(sorted: readonly number[], share: number): number {
  return Math.round((sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN) * 10) / 10;
}
