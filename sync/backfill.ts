// The first copy of the tables, beside the running stream: chunks by key between low and high marks
// (domain/window.ts), no table lock, no long transaction, resumable. Before it, stray target rows
// are pruned, children first; rows are copied parents first. Rows that could not be completed from
// the stream, or came before their parent, are read again until none is left.
import type pg from 'pg';
import { formatTable } from '../core/postgres/identifiers.ts';
import { sleep } from '../core/lifecycle.ts';
import type { Copying, Marks, Reading } from './copying.ts';
import { keyText } from './domain/coalesce.ts';
import { extraRows } from './compare-rows.ts';
import { targetColumns, targetKey, type Edge } from './domain/mapping.ts';
import { deleteKeys, nextKeys, type Key } from './keys.ts';
import { isKeyViolation } from './refusal.ts';
import { deleteOf, insertOf, type Source, type SourceTable } from './source.ts';

export interface BackfillOptions {
  readonly flow: string;
  readonly source: Source;
  /** Parents first by the target's foreign keys; so are the edges of each. */
  readonly tables: readonly SourceTable[];
  readonly copying: Copying;
  /** Runs work on the applier's session, between its batches. */
  readonly exclusively: <T>(work: (client: pg.Client) => Promise<T>) => Promise<T>;
  readonly chunkRows?: number;
  /** How time passes between two looks; by the clock where left out. */
  readonly pause?: typeof sleep;
}

const CHUNK_ROWS = 2_000;
const LEAST_ROWS = 200;
const MOST_ROWS = 10_000;
const CHUNK_MS = 100;
/** Chunks that are read before the first of them is applied. */
const CHUNKS_AHEAD = 2;
const REREAD_KEYS = 500;
/** Times that rows are read again before the next table is begun all the same. */
const PASSES = 20;
const AGAIN_MS = 50;

/** Copies what is left to copy, then reads rows again as they come up. Ends with the signal. */
export async function runBackfill(options: BackfillOptions, signal: AbortSignal): Promise<void> {
  const { tables, copying, pause = sleep } = options;
  for (const table of [...tables].reverse())
    if (copying.stage(table.label) === 'prune') await prune(options, table, signal);
  for (const table of tables) {
    await copyTable(options, table, signal);
    // Parents that could not be completed come before their children: each of these would be refused.
    for (let pass = 0; copying.rereads && pass < PASSES && !signal.aborted; pass++)
      await rereadAll(options, signal);
  }
  while (!signal.aborted) {
    if (copying.rereads) await rereadAll(options, signal);
    await pause(AGAIN_MS, signal);
  }
}

/** Copies what is left of a table, chunk by chunk; the next is read while the ones before it are applied. */
async function copyTable(
  options: BackfillOptions,
  table: SourceTable,
  signal: AbortSignal,
): Promise<void> {
  const { copying, pause = sleep } = options;
  const size = new ChunkSize(options.chunkRows);
  while (copying.stage(table.label) !== 'done' && !signal.aborted) {
    const { generation } = copying;
    const ahead: Promise<'applied' | 'again'>[] = [];
    let cursor = copying.cursor(table.label);
    let last = false;
    let isAgain = false;
    while (!isAgain && !(last && ahead.length === 0)) {
      if (!last && ahead.length < CHUNKS_AHEAD) {
        const { reading, settled } = await copying.window(
          [table.label],
          marksOf(options, () => readChunk(options, table, cursor, size)),
          signal,
          generation,
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

function marksOf<T extends Reading>(
  { source, flow }: BackfillOptions,
  read: () => Promise<T>,
): Marks<T> {
  return {
    low: (window, run) => source.emit({ kind: 'low', flow, run, window }),
    read,
    high: (window, run) => source.emit({ kind: 'high', flow, run, window }),
  };
}

async function betweenMarks(
  options: BackfillOptions,
  tables: readonly SourceTable[],
  read: () => Promise<Reading>,
  signal: AbortSignal,
): Promise<void> {
  const labels = tables.map((table) => table.label);
  const { pause = sleep } = options;
  while (!signal.aborted) {
    const { settled } = await options.copying.window(labels, marksOf(options, read), signal);
    if ((await settled) === 'applied') return;
    await pause(AGAIN_MS, signal);
  }
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
  options: BackfillOptions,
  table: SourceTable,
  from: Key | null,
  size: ChunkSize,
): Promise<Reading & { readonly cursor: Key | null; readonly last: boolean }> {
  const limit = size.rows;
  const began = performance.now();
  const read = await options.source.readAfter(table, from, limit);
  size.took(performance.now() - began);
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

/** Deletes the target rows whose key the source does not have. Nothing is streamed into them yet. */
async function prune(
  options: BackfillOptions,
  table: SourceTable,
  signal: AbortSignal,
): Promise<void> {
  const limit = options.chunkRows ?? CHUNK_ROWS;
  for (const edge of [...table.edges].reverse()) {
    const columns = targetKey(edge);
    let cursor: Key | null = null;
    while (!signal.aborted) {
      const after: Key | null = cursor;
      const keys: string[][] = await options.exclusively((client) =>
        nextKeys(client, edge.target, columns, after, limit, null, extraRows(edge)),
      );
      const present = await options.source.existing(table, keys);
      const stray = keys.filter((key) => !present.has(keyText(key)));
      if (stray.length > 0)
        await options.exclusively((client) => removeStray(options, client, table, edge, stray));
      if (keys.length < limit) break;
      cursor = keys.at(-1) ?? null;
    }
  }
}

/** What something still points to waits on the list of rows to read again; so do the values of a part. */
async function removeStray(
  { copying }: BackfillOptions,
  client: pg.Client,
  table: SourceTable,
  edge: Edge,
  keys: readonly Key[],
): Promise<void> {
  try {
    if (edge.driver) {
      await deleteKeys(client, edge.target, targetKey(edge), keys);
      return;
    }
  } catch (error) {
    if (!isKeyViolation(error)) throw error;
  }
  await copying.readAgain(
    client,
    keys.map((key) => ({ table: table.label, key })),
  );
  copying.rereads = true;
}

/** One pass over the list of rows to read again. */
async function rereadAll(options: BackfillOptions, signal: AbortSignal): Promise<void> {
  const { flow, copying, exclusively } = options;
  for (const table of options.tables) {
    const keys = await exclusively(async (client) => {
      const { rows } = await client.query<{ key: string[] }>(
        'SELECT key FROM banyan.reread WHERE flow = $1 AND source_table = $2 LIMIT $3',
        [flow, table.label, REREAD_KEYS],
      );
      return rows.map((row) => row.key);
    });
    if (keys.length === 0) continue;
    const family = familyOf(table, options.tables);
    await betweenMarks(options, family, () => readKeys(options, table, family, keys), signal);
  }
  await exclusively(async (client) => {
    const { rows } = await client.query('SELECT 1 FROM banyan.reread WHERE flow = $1 LIMIT 1', [
      flow,
    ]);
    copying.rereads = rows.length > 0;
  });
}

/** The source tables that together make up the target rows which `table` feeds. */
function familyOf(table: SourceTable, tables: readonly SourceTable[]): SourceTable[] {
  const targets = new Set(table.edges.map((edge) => formatTable(edge.target)));
  return tables.filter((one) => one.edges.some((edge) => targets.has(formatTable(edge.target))));
}

async function readKeys(
  options: BackfillOptions,
  table: SourceTable,
  family: readonly SourceTable[],
  keys: readonly Key[],
): Promise<Reading> {
  const { snapshot, rows } = await options.source.readKeys(family, keys);
  const present = (one: SourceTable): string[] =>
    (rows.get(one.label) ?? []).map((row) => keyText(one.keyOf(row)));
  const drivers = family.filter((one) => one.edges.some((edge) => edge.driver));
  const driven = new Set(drivers.flatMap(present));
  const own = new Set(present(table));
  const drives = drivers.includes(table);
  const gone = keys.filter((key) => {
    const text = keyText(key);
    return !own.has(text) && (drives || driven.has(text));
  });
  // Of a row that is there, a part that is not has no values. One that the row needs is waited for.
  const others = family.filter((one) => one !== table && !drivers.includes(one) && !isNeeded(one));
  const absent = others.flatMap((one) => {
    const there = new Set(present(one));
    return keys
      .filter((key) => driven.has(keyText(key)) && !there.has(keyText(key)))
      .map((key) => ({ one, key }));
  });
  // A part whose driver is not there is read with it, when it comes.
  const isWritten = (one: SourceTable, key: Key): boolean =>
    drivers.includes(one) || driven.has(keyText(key));
  return {
    snapshot,
    chunk: (survives) => ({
      table: table.label,
      rows: [
        ...gone.filter(survives).map((key) => deleteOf(table, key)),
        ...family.flatMap((one) =>
          (rows.get(one.label) ?? [])
            .filter((row) => isWritten(one, one.keyOf(row)) && survives(one.keyOf(row)))
            .map((row) => insertOf(one, row)),
        ),
        ...absent.filter(({ key }) => survives(key)).map(({ one, key }) => deleteOf(one, key)),
      ],
      progress: {
        kind: 'reread',
        resolved: keys.filter(survives),
        awaited: keys.filter(
          (key) => survives(key) && own.has(keyText(key)) && !isWritten(table, key),
        ),
      },
    }),
  };
}

function isNeeded(part: SourceTable): boolean {
  return part.edges.some((edge) => targetColumns(edge).some((column) => column.needed));
}
