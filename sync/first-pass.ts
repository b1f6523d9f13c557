// The first pass of a verification over a table: by sums where the mapping allows it, row by row where
// it does not, and row by row where sums differ. What it finds are suspects, no more.
import { keyText } from './domain/coalesce.ts';
import { targetKey, type Edge } from './domain/mapping.ts';
import type { Sides } from './barriers.ts';
import { compareRows } from './compare-rows.ts';
import { nextKeys, type Key } from './keys.ts';
import { differingRanges, type KeyRange } from './range-sums.ts';
import { Source, type SourceTable } from './source.ts';
import type { Suspect } from './suspects.ts';

export interface FirstPassOptions {
  readonly sides: Sides;
  readonly chunkRows: number;
  readonly onProgress: (rows: number) => void;
}

/** Rows that are summed at once, in chunks. */
const RANGE_CHUNKS = 16;
const EVERYTHING: KeyRange = { after: null, upTo: null };

export async function firstPass(
  table: SourceTable,
  options: FirstPassOptions,
): Promise<{ readonly rows: number; readonly suspects: readonly Suspect[] }> {
  const { sides, chunkRows, onProgress } = options;
  const suspects: Suspect[] = [];
  const summed = await differingRanges({
    source: sides.monolith.read,
    target: sides.service.read,
    table,
    rangeRows: chunkRows * RANGE_CHUNKS,
    smallRows: chunkRows,
    onProgress,
  });
  let rows = summed?.rows ?? 0;
  for (const range of summed?.ranges ?? [EVERYTHING]) {
    const passed = await rowsOf(table, range, options, summed ? undefined : onProgress);
    if (!summed) rows += passed.rows;
    suspects.push(...passed.suspects);
    for (const edge of table.edges) suspects.push(...(await extras(table, edge, range, options)));
  }
  return { rows, suspects };
}

/** The monolith's rows in a range of keys, chunk by chunk. */
async function rowsOf(
  table: SourceTable,
  { after, upTo }: KeyRange,
  { sides, chunkRows }: FirstPassOptions,
  progress?: (rows: number) => void,
): Promise<{ rows: number; suspects: Suspect[] }> {
  const source = new Source(sides.monolith.read);
  const suspects = new Map<string, Suspect>();
  let cursor: Key | null = after === null ? null : [after];
  let rows = 0;
  for (;;) {
    const read = await source.readAfter(table, cursor, chunkRows, upTo === null ? null : [upTo]);
    cursor = read.cursor;
    rows += read.rows.length;
    for (const edge of table.edges)
      for (const found of await compareRows(sides.service.read, table, edge, read.rows))
        suspects.set(keyText(found.key), { table, key: found.key });
    progress?.(rows);
    if (read.rows.length < chunkRows) return { rows, suspects: [...suspects.values()] };
  }
}

/** Keys of the service in a range that the monolith does not have. */
async function extras(
  table: SourceTable,
  edge: Edge,
  { after, upTo }: KeyRange,
  { sides, chunkRows }: FirstPassOptions,
): Promise<Suspect[]> {
  const source = new Source(sides.monolith.read);
  const suspects: Suspect[] = [];
  let cursor: Key | null = after === null ? null : [after];
  for (;;) {
    const keys = await nextKeys(
      sides.service.read,
      edge.target,
      targetKey(edge),
      cursor,
      chunkRows,
      upTo === null ? null : [upTo],
    );
    const present = await source.existing(table, keys);
    for (const key of keys) if (!present.has(keyText(key))) suspects.push({ table, key });
    if (keys.length < chunkRows) return suspects;
    cursor = keys.at(-1) ?? null;
  }
}
