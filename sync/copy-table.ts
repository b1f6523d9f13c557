// Copies one table in chunks by key, each between a low and a high mark. The next chunk is read while
// the ones before it are applied; a chunk that must be read again takes those behind it along.
import { sleep } from '../core/lifecycle.ts';
import type { CopyPace } from './copy-pace.ts';
import type { Copying, Marks, Reading } from './copying.ts';
import type { Key } from './keys.ts';
import { insertOf, type Source, type SourceTable } from './source.ts';

export interface CopyTableOptions {
  readonly flow: string;
  readonly source: Source;
  readonly copying: Copying;
  readonly pace: CopyPace;
  readonly chunkRows?: number;
}

const CHUNK_ROWS = 2_000;
const LEAST_ROWS = 200;
const MOST_ROWS = 10_000;
const CHUNK_MS = 100;
/** Chunks that are read before the first of them is applied. */
const CHUNKS_AHEAD = 2;
const AGAIN_MS = 50;

/** Copies what is left of a table. */
export async function copyTable(
  options: CopyTableOptions,
  table: SourceTable,
  signal: AbortSignal,
): Promise<void> {
  const { copying, pace } = options;
  const size = new ChunkSize(options.chunkRows);
  while (copying.stage(table.label) !== 'done' && !signal.aborted) {
    const chain = copying.chain(table.label);
    const ahead: Promise<'applied' | 'again'>[] = [];
    let cursor = copying.cursor(table.label);
    let last = false;
    let isAgain = false;
    while (!isAgain && !(last && ahead.length === 0)) {
      if (!last && ahead.length < CHUNKS_AHEAD) {
        if (!(await pace.turn(signal))) break;
        const { reading, settled } = await copying.window(
          [table.label],
          marksOf(options, () => readChunk(options, table, cursor, size)),
          signal,
          chain,
        );
        ({ cursor, last } = reading);
        ahead.push(settled);
      } else isAgain = (await ahead.shift()) === 'again';
    }
    // Whatever was read behind a chunk that must be read again is dropped at its own mark.
    await Promise.all(ahead);
    if (isAgain) await sleep(AGAIN_MS, signal);
  }
}

export function marksOf<T extends Reading>(
  { source, flow }: Pick<CopyTableOptions, 'source' | 'flow'>,
  read: () => Promise<T>,
): Marks<T> {
  return {
    low: (window, run) => source.emit({ kind: 'low', flow, run, window }),
    read,
    high: (window, run) => source.emit({ kind: 'high', flow, run, window }),
  };
}

/** How many rows a chunk has: what the source gives in a tenth of a second, so that a busy one is asked for less. */
class ChunkSize {
  readonly #fixed: number | undefined;
  #rows = CHUNK_ROWS;

  constructor(fixed: number | undefined) {
    this.#fixed = fixed;
  }

  get rows(): number {
    return this.#fixed ?? this.#rows;
  }

  took(ms: number): void {
    const factor = Math.min(2, Math.max(0.25, CHUNK_MS / Math.max(1, ms)));
    this.#rows = Math.round(Math.min(MOST_ROWS, Math.max(LEAST_ROWS, this.#rows * factor)));
  }
}

async function readChunk(
  { source, pace }: CopyTableOptions,
  table: SourceTable,
  from: Key | null,
  size: ChunkSize,
): Promise<Reading & { readonly cursor: Key | null; readonly last: boolean }> {
  const limit = Math.min(size.rows, pace.mostRows);
  const { read, tookMs } = await pace.read(
    table.label,
    () => source.readAfter(table, from, limit),
    ({ rows }) => rows.length,
  );
  size.took(tookMs);
  return {
    cursor: read.cursor,
    last: read.rows.length < limit,
    snapshot: read.snapshot,
    chunk: (survives) => ({
      table: table.label,
      rows: read.rows
        .filter((row) => survives(table.keyOf(row)))
        .map((row) => insertOf(table, row)),
      progress: { kind: 'copy', cursor: read.cursor, last: read.rows.length < limit },
    }),
  };
}
