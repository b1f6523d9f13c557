// Load at a fixed rate, by h2load (of nghttp2): a generator in JavaScript stops for its own garbage longer
// than what is to be seen here. Many connections with few requests a second each, begun one after the other,
// so that requests come evenly, and a stall hits those that were due in it: a connection that still waits
// for an answer when its next request is due is late by less than what it waits.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Span } from './stolen.ts';

export interface PacedLoad {
  readonly url: string;
  readonly perSecond: number;
  /** Whether each connection asks again as soon as it is answered; what is asked for a second only tells when to end. */
  readonly unpaced?: boolean;
  readonly ms: number;
  /** As long at the beginning, while connections are made, answers do not count. */
  readonly warmMs: number;
}

export interface PacedLoadResult {
  /** Answers other than 200, and requests without any. */
  readonly failed: number;
  /** Each answer that counts, with what came before it. */
  readonly answers: readonly Span[];
}

const CONNECTIONS = 256;
/** Of those that ask as fast as they are answered. */
const UNPACED = 32;
/** Between two of them. */
const APART_MS = 4;

/** Sends GETs at the rate, or as fast as they are answered, for about the given time. */
export async function pacedLoad(load: PacedLoad): Promise<PacedLoadResult> {
  const folder = await mkdtemp(path.join(tmpdir(), 'banyan-bench-load-'));
  const log = path.join(folder, 'log');
  const requests = Math.round((load.perSecond * load.ms) / 1_000);
  const paced = [
    ...['-c', String(CONNECTIONS), '--rps', (load.perSecond / CONNECTIONS).toFixed(2)],
    ...['--rate', '1', '--rate-period', `${APART_MS}ms`],
  ];
  try {
    const said = await run('h2load', [
      ...['--h1', '-t', '1', '-n', String(requests), '--log-file', log],
      ...(load.unpaced ? ['-c', String(UNPACED)] : paced),
      load.url,
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
    answers: good
      // Connections end as they began, one after the other: there the rate falls.
      .filter(([at = 0]) => at - began >= warmMs * 1_000 && at - began < ms * 1_000)
      .map(([at = 0, , us = 0]) => ({ from: at / 1_000, to: (at + us) / 1_000 })),
  };
}
