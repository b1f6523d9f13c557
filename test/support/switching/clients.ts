// Clients of the two facades: each write has a number of its own, and what became of it is remembered.
// They go on whatever happens; a write whose answer did not come is unknown, and none is sent twice.
import { sleep } from '../../../core/lifecycle.ts';
import { Wires } from './wires.ts';

export interface Outcomes {
  readonly acknowledged: ReadonlySet<number>;
  /** Status by status, `0` where the connection broke; those that were answered otherwise than with 200. */
  readonly failed: ReadonlyMap<string, number>;
  readonly reads: number;
  /** Times that a write was refused (503), and sent again. */
  readonly retried: number;
  /** Milliseconds of each acknowledged write, with when it was sent. */
  readonly times: readonly { readonly at: number; readonly ms: number }[];
}

export interface Clients {
  outcomes(): Outcomes;
  /** Forgets failures and times, not what was acknowledged. */
  forget(): void;
  stop(): Promise<void>;
}

export interface ClientOptions {
  /** Where each facade listens now. */
  readonly urls: () => readonly string[];
  readonly writesPerSecond: number;
  readonly readsPerSecond: number;
  /** Requests of a kind under way at once: what is due beyond that is left out. */
  readonly atMost?: number;
  /** Sends a refused write (503: it was forwarded to nobody) again. */
  readonly retries?: boolean;
}

/** Starts them: requests are due at a fixed rate, whatever the answers do, up to `atMost`. */
export function startClients(options: ClientOptions): Clients {
  const wires = new Wires();
  const acknowledged = new Set<number>();
  let failed = new Map<string, number>();
  let times: { at: number; ms: number }[] = [];
  let reads = 0;
  let retried = 0;
  let next = 1;
  const ending = new AbortController();
  const underWay = new Set<Promise<void>>();

  const fail = (what: string): void => {
    failed.set(what, (failed.get(what) ?? 0) + 1);
  };
  const ask = (method: 'GET' | 'POST', id: number): Promise<number> => {
    const urls = options.urls();
    const url = urls[id % urls.length] ?? '';
    const length = method === 'POST' ? 'content-length: 0\r\n' : '';
    return wires.ask(
      url,
      `${method} /api/items/${id} HTTP/1.1\r\nhost: ${new URL(url).host}\r\nx-client: c${id % 100}\r\n${length}\r\n`,
    );
  };
  const write = async (): Promise<void> => {
    const id = next++;
    const at = performance.now();
    for (;;) {
      const status = await ask('POST', id);
      if (status === 200) {
        acknowledged.add(id);
        times.push({ at, ms: performance.now() - at });
      } else if (status === 503 && options.retries) {
        retried += 1;
        await sleep(50);
        continue;
      } else fail(`write ${status}`);
      return;
    }
  };
  const read = async (): Promise<void> => {
    const status = await ask('GET', 1 + Math.floor(Math.random() * next));
    reads += 1;
    if (status !== 200) fail(`read ${status}`);
  };
  const at = async (perSecond: number, one: () => Promise<void>): Promise<void> => {
    const { atMost = Number.POSITIVE_INFINITY } = options;
    const began = performance.now();
    let busy = 0;
    for (let due = 0; !ending.signal.aborted;) {
      for (; began + (due * 1000) / perSecond <= performance.now(); due++) {
        if (busy >= atMost) continue;
        busy += 1;
        const running = one().finally(() => {
          busy -= 1;
          underWay.delete(running);
        });
        underWay.add(running);
      }
      await sleep(2);
    }
  };
  const running = [at(options.writesPerSecond, write), at(options.readsPerSecond, read)];
  return {
    outcomes: () => ({ acknowledged, failed, reads, retried, times }),
    forget: () => {
      failed = new Map();
      times = [];
    },
    stop: async () => {
      ending.abort();
      await Promise.all(running);
      await Promise.all(underWay);
      wires.close();
    },
  };
}
