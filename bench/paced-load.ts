// Load at a fixed rate, by h2load (of nghttp2): a generator in JavaScript stops for its own garbage longer
// than what is to be seen here. Many connections with few requests a second each, begun one after the other,
// so that requests come evenly, and a stall hits those that were due in it: a connection that still waits
// for an answer when its next request is due is late by less than what it waits.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

export interface PacedLoad {
  readonly url: string;
  readonly perSecond: number;
  readonly ms: number;
  /** As long at the beginning, while connections are made, latencies do not count. */
  readonly warmMs: number;
}

export interface PacedLoadResult {
  /** Answers other than 200, and requests without any. */
  readonly failed: number;
  /** Milliseconds of each answer that counts. */
  readonly latencies: readonly number[];
}

const CONNECTIONS = 256;
/** Between two of them. */
const APART_MS = 4;

/** Sends GETs at the rate for the given time. */
export async function pacedLoad(load: PacedLoad): Promise<PacedLoadResult> {
  const folder = await mkdtemp(path.join(tmpdir(), 'banyan-bench-load-'));
  const log = path.join(folder, 'log');
  const requests = Math.round((load.perSecond * load.ms) / 1_000);
  try {
    const said = await run('h2load', [
      ...['--h1', '-t', '1', '-c', String(CONNECTIONS), '-n', String(requests)],
      ...['--rps', (load.perSecond / CONNECTIONS).toFixed(2)],
      ...['--rate', '1', '--rate-period', `${APART_MS}ms`, '--log-file', log, load.url],
    ]);
    return resultOf(await readFile(log, 'latin1').catch(() => ''), requests, load, said);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function run(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (said += text));
    child.once('error', reject);
    child.once('close', () => {
      resolve(said);
    });
  });
}

/** Of lines of `begin in µs since the epoch, status, µs until the end of the answer`, tab-separated. */
export function resultOf(
  log: string,
  requests: number,
  { warmMs, ms }: Pick<PacedLoad, 'warmMs' | 'ms'>,
  said: string,
): PacedLoadResult {
  const rows = log
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t').map(Number));
  if (log === '') throw new Error(`h2load had no answer: ${said}`);
  const began = rows.reduce((least, [at = 0]) => Math.min(least, at), Infinity);
  const good = rows.filter(([, status]) => status === 200);
  return {
    failed: requests - good.length,
    latencies: good
      // Connections end as they began, one after the other: there the rate falls.
      .filter(([at = 0]) => at - began >= warmMs * 1_000 && at - began < ms * 1_000)
      .map(([, , us = 0]) => us / 1_000),
  };
}
