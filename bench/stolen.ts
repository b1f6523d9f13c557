// When the host took the cores away. A virtual machine's cores stand still for ten milliseconds now and then,
// which is as long as a p99 of a proxy, and comes to whoever is measured just then.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PINNED, startNode, YIELDS } from './processes.ts';

/** In milliseconds since the epoch. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

export interface StolenTime {
  /** All until now. */
  spans(): Promise<Span[]>;
  stop(): Promise<void>;
}

/** Watches both cores of a benchmark; undefined where that cannot be done. */
export async function watchStolenTime(): Promise<StolenTime | undefined> {
  if (!PINNED || !YIELDS) return undefined;
  const folder = await mkdtemp(path.join(tmpdir(), 'banyan-bench-stolen-'));
  const files = ['0', '1'].map((core) => ({ core, file: path.join(folder, core) }));
  for (const { core, file } of files) await startNode(`first:${core}`, './stolen-watch.ts', file);
  return {
    spans: async () => {
      const texts = await Promise.all(files.map(({ file }) => readFile(file, 'utf8')));
      return texts.flatMap(spansOf);
    },
    stop: () => rm(folder, { recursive: true, force: true }),
  };
}

/** Of lines of `from, to`, tab-separated; the last may be under way. */
export function spansOf(text: string): Span[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split('\t').map(Number))
    .map(([from = 0, to = 0]) => ({ from, to }));
}

/**
 * Whether something from `from` to `to` was under way in one of the spans, or began so soon after it that it
 * waited for what had: as long again, which is enough where half of the time is to spare.
 */
export function disturbedBy(spans: readonly Span[]): (during: Span) => boolean {
  const sorted = spans
    .map(({ from, to }) => ({ from, to: to + (to - from) }))
    .sort((a, b) => a.from - b.from);
  const merged: { from: number; to: number }[] = [];
  for (const { from, to } of sorted) {
    const last = merged.at(-1);
    if (last && from <= last.to) last.to = Math.max(last.to, to);
    else merged.push({ from, to });
  }
  return ({ from, to }) => {
    // The first that ends after `from`: the only one that need be looked at, for they lie apart.
    let low = 0;
    for (let high = merged.length; low < high;) {
      const middle = (low + high) >> 1;
      if ((merged[middle]?.to ?? Infinity) > from) high = middle;
      else low = middle + 1;
    }
    const next = merged[low];
    return next !== undefined && next.from < to;
  };
}
