// Copies one table in chunks by key, each between a low and a high mark. The next chunk is read while
// the ones before it are applied; a chunk that must be read again takes those behind it along. Rows
// come out of the source by COPY and go into the target by COPY, with nothing but what the mapping
// changes taken apart on the way.
import { sleep } from '../core/lifecycle.ts';
import type { CopyPace } from './copy-pace.ts';
import type { Marks, Reading, TableCopy } from './chunk.ts';
import type { Copying } from './copying.ts';
import type { Tuple, Value } from './domain/change.ts';
import {
  bytesOf,
  decodeField,
  decodeLine,
  fieldAt,
  fieldsOf,
  lineFor,
  lineShapes,
  linesOf,
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

/** Of the first chunk: nothing is known yet of how large rows are, and it has to fit into memory. */
const FIRST_ROWS = 100;
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
  #rows = FIRST_ROWS;

  constructor(fixed: number | undefined) {
    this.#fixed = fixed;
  }

  get rows(): number {
    return this.#fixed ?? this.#rows;
  }

  took(ms: number, rows: number, bytes: number): void {
    const factor = Math.min(2, Math.max(0.25, CHUNK_MS / Math.max(1, ms)));
    const fitting = (MOST_BYTES * rows) / Math.max(1, bytes);
    const most = rows === 0 ? MOST_ROWS : Math.min(MOST_ROWS, fitting);
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
    ({ count }) => count,
  );
  const { snapshot, count, lines } = read;
  size.took(tookMs, count, lines.length);
  const last = count < limit;
  const keys = new KeyReader(table);
  const all = linesOf(lines);
  const end = all.at(-1);
  const cursor = end === undefined ? from : keys.cursor(end);
  // Made now and kept as bytes: while the stream catches up, rows by themselves would be a burden.
  const whole = targetLines(shapes, all);
  return {
    ...{ snapshot, cursor, last },
    chunk: (survives) => {
      const lives = survives && linesOf(lines).map((line) => survives(keys.keyOf(line)));
      const alive = (some: Buffer): string[] =>
        lives ? linesOf(some).filter((_, index) => lives[index]) : linesOf(some);
      const left = lives?.filter(Boolean).length ?? count;
      // Most windows see changes, but of rows of other chunks.
      const copies =
        left === count
          ? whole
          : whole?.map((one) => ({ ...one, lines: bytesOf(alive(one.lines)) }));
      return {
        ...{ table: table.label, size: left, copies: left === 0 ? undefined : copies },
        progress: { kind: 'copy', cursor, last },
        rows: () => alive(lines).map((line) => insertOf(table, decodeLine(line))),
      };
    },
  };
}

/** The keys of lines. */
class KeyReader {
  readonly #table: SourceTable;
  readonly #places: readonly number[];

  constructor(table: SourceTable) {
    this.#table = table;
    this.#places = table.key.map(({ name }) =>
      table.relation.columns.findIndex((column) => column.name === name),
    );
  }

  /** As the source orders it. */
  cursor(line: string): Key {
    const row = this.#row(line);
    return this.#places.map((at) => row[at] ?? '');
  }

  /** As targets know it. */
  keyOf(line: string): Key {
    return this.#table.keyOf(this.#row(line));
  }

  /** With nothing but its key. */
  #row(line: string): Tuple {
    const row: Value[] = [];
    for (const at of this.#places) row[at] = decodeField(fieldAt(line, at));
    return row;
  }
}

/** Rows ready for their targets; undefined where they must go the other way, which says what is wrong with one. */
function targetLines(
  shapes: readonly LineShape[] | undefined,
  lines: readonly string[],
): readonly TableCopy[] | undefined {
  if (!shapes || lines.length === 0) return undefined;
  const made = shapes.map((): string[] => []);
  try {
    for (const line of lines) {
      const fields = fieldsOf(line);
      for (let index = 0; index < shapes.length; index++)
        made[index]?.push(lineFor(shapes[index] as LineShape, fields));
    }
  } catch (error) {
    if (error instanceof LensError) return undefined;
    throw error;
  }
  return shapes.map(({ target, text, skipsTriggers }, index) => ({
    ...{ table: target, text, skipsTriggers },
    lines: bytesOf(made[index] ?? []),
  }));
}
