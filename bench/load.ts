// Closed-loop load: each connection asks again as soon as it is answered. Cheap enough not to be the
// bottleneck of a proxy in Node. An answer other than 200, or a lost connection, is an error: a
// contender that fails is not fast.
import { Connection } from './connection.ts';
import { requestBytes, type Shape } from './request.ts';

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
export async function generateLoad(load: Load): Promise<LoadResult> {
  const latencies: number[] = [];
  const began = performance.now();
  await Promise.all(
    Array.from({ length: load.connections }, (_, nth) =>
      keepAsking(load, nth, began + load.ms, (ms) => latencies.push(ms)),
    ),
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

function keepAsking(
  load: Load,
  nth: number,
  until: number,
  onAnswer: (ms: number) => void,
): Promise<void> {
  const base = new URL(load.url);
  const request = requestBytes(base, load.shape ?? 'GET', nth);
  return new Promise((resolve, reject) => {
    let sentAt = performance.now();
    const connection = new Connection(base, {
      answered: (status) => {
        const now = performance.now();
        if (status !== '200') {
          connection.close();
          reject(new Error(`unexpected answer: HTTP/1.1 ${status}`));
          return;
        }
        onAnswer(now - sentAt);
        if (now < until) {
          sentAt = now;
          connection.send(request);
          return;
        }
        connection.close();
        resolve();
      },
      lost: reject,
    });
    connection.send(request);
  });
}
