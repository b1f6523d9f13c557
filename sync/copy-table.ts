// Copies one table in chunks by key, each between a low and a high mark. The next chunk is read while
// the ones before it are applied; a chunk that must be read again takes those behind it along. Rows
// come out of the source by COPY and go into the target by COPY, with nothing but what the mapping
// changes taken apart on the way.
import { sleep } from '../core/lifecycle.ts';
import type { CopyPace } from './copy-pace.ts';
import type { Marks, Reading } from './chunk.ts';
import type { Copying } from './copying.ts';
import type { Value } from './domain/change.ts';
import {
  decodeField,
  decodeLine,
  fieldsOf,
  lineFor,
  lineShapes,
  type LineShape,
} from './domain/copy-lines.ts';
import { LensError } from './domain/lens.ts';
import type { Key } from './keys.ts';
import { insertOf, type Source, type SourceTable } from './source.ts';

export interface CopyTableOptions {
  readonly flow: string;
  readonly source: Source;
  readonly copying: Copying;
  readonly pace: CopyPace;
  /** All tables of the flow: others may feed the same targets. */
  readonly tables: readonly SourceTable[];
  readonly chunkRows?: number;
  /** How time passes between two looks; by the clock where left out. */
  readonly pause?: typeof sleep;
}

const CHUNK_ROWS = 2_000;
const LEAST_ROWS = 200;
const MOST_ROWS = 10_000;
const MOST_BYTES = 8 * 1_048_576;
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
  const { copying, pace, pause = sleep } = options;
  const size = new ChunkSize(options.chunkRows);
  const shapes = lineShapes(
    table.label,
    table.relation.columns.map(({ name }) => name),
    options.tables.flatMap(({ edges }) => edges),
  );
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
          marksOf(options, () => readChunk(options, table, shapes, cursor, size)),
          signal,
          chain,
        );
        ({ cursor, last } = reading);
        ahead.push(settled);
      } else isAgain = (await ahead.shift()) === 'again';
    }
    // Whatever was read behind a chunk that must be read again is dropped at its own mark.
    await Promise.all(ahead);
    if (isAgain) await pause(AGAIN_MS, signal);
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

/**
 * How many rows a chunk has: what the source gives in a tenth of a second, so that a busy one is asked
 * for less, and no more than fit into memory.
 */
class ChunkSize {
  readonly #fixed: number | undefined;
  #rows = CHUNK_ROWS;

  constructor(fixed: number | undefined) {
    this.#fixed = fixed;
  }

  get rows(): number {
    return this.#fixed ?? this.#rows;
  }

  took(ms: number, lines: readonly string[]): void {
    const factor = Math.min(2, Math.max(0.25, CHUNK_MS / Math.max(1, ms)));
    const bytes = lines.reduce((sum, line) => sum + line.length, 0);
    const fitting = (MOST_BYTES * lines.length) / Math.max(1, bytes);
    const most = lines.length === 0 ? MOST_ROWS : Math.min(MOST_ROWS, fitting);
    const wanted = Math.max(LEAST_ROWS, this.#rows * factor);
    this.#rows = Math.max(1, Math.round(Math.min(most, wanted)));
  }
}

interface ReadChunk extends Reading {
  readonly cursor: Key | null;
  readonly last: boolean;
}

async function readChunk(
  { source, pace }: CopyTableOptions,
  table: SourceTable,
  shapes: readonly LineShape[] | undefined,
  from: Key | null,
  size: ChunkSize,
): Promise<ReadChunk> {
  const limit = Math.min(size.rows, pace.mostRows);
  const { read, tookMs } = await pace.read(
    table.label,
    () => source.linesAfter(table, from, limit),
    ({ lines }) => lines.length,
  );
  const { snapshot, lines } = read;
  size.took(tookMs, lines);
  const last = lines.length < limit;
  const places = table.key.map(({ name }) =>
    table.relation.columns.findIndex((column) => column.name === name),
  );
  const rows = lines.map((line) => {
    const fields = fieldsOf(line);
    const key: Value[] = [];
    for (const at of places) key[at] = decodeField(fields[at] ?? '');
    return { line, key, targets: targetLines(shapes, fields) };
  });
  const end = rows.at(-1)?.key;
  const cursor = end ? places.map((at) => end[at] ?? '') : from;
  return {
    ...{ snapshot, cursor, last },
    chunk: (survives) => {
      const alive = rows.filter(({ key }) => survives(table.keyOf(key)));
      return {
        ...{ table: table.label, size: alive.length },
        progress: { kind: 'copy', cursor, last },
        rows: () => alive.map(({ line }) => insertOf(table, decodeLine(line))),
        copies:
          shapes && alive.length > 0 && alive.every(({ targets }) => targets !== undefined)
            ? () =>
                shapes.map(({ target, text }, index) => ({
                  ...{ table: target, text },
                  lines: Buffer.from(
                    `${alive.map(({ targets }) => targets?.[index] ?? '').join('\n')}\n`,
                    'latin1',
                  ),
                }))
            : undefined,
      };
    },
  };
}

/** A row's line in each target; undefined for a row that must go the other way, which says what is wrong with it. */
function targetLines(
  shapes: readonly LineShape[] | undefined,
  fields: readonly string[],
): readonly string[] | undefined {
  try {
    return shapes?.map((shape) => lineFor(shape, fields));
  } catch (error) {
    if (error instanceof LensError) return undefined;
    throw error;
  }
}
