// The first pass of a verification, as walks over one table each: by sums where the mapping allows it
// and row by row where sums differ; elsewhere row by row, and over the service's keys for rows too
// many. What a walk finds are suspects, no more. It goes in key order, so that it can be interrupted:
// what lies behind the last key it has finished need not be read again.
import { formatTable } from '../core/postgres/identifiers.ts';
import { keyText } from './domain/target-table.ts';
import { targetKey, type Edge, type Schemas } from './domain/mapping.ts';
import type { Sides } from './barriers.ts';
import { compareRows, extraRows } from './compare-rows.ts';
import { FittingRows } from './fitting-rows.ts';
import { nextKeys, type Key } from './keys.ts';
import { sumsOf, type KeyRange, type SummedRange } from './range-sums.ts';
import { Source, type SourceTable } from './source.ts';

export interface Walk {
  /** Names it among the walks of a verification, in this process and a later one. */
  readonly name: string;
  readonly table: SourceTable;
  /** The planner's guess of how many rows it will see. */
  readonly estimatedRows: number;
  /** Whether it sees the rows of the monolith, or only the service's keys. */
  readonly counts: boolean;
  /** Goes on behind a key. */
  from(cursor: Key | null): AsyncGenerator<Finished>;
}

/** A range of keys that is finished. */
export interface Finished {
  /** Its last key. */
  readonly cursor: Key | null;
  readonly rows: number;
  readonly suspects: readonly Key[];
  /** Nothing lies behind it. */
  readonly last: boolean;
}

export interface WalkOptions {
  readonly sides: Sides;
  readonly schemas: Schemas;
  readonly chunkRows: number;
}

/** Rows that are summed at once, in chunks. */
const RANGE_CHUNKS = 16;
const EVERYTHING: KeyRange = { after: null, upTo: null };

export function walksOf(table: SourceTable, options: WalkOptions): Walk[] {
  const { sides, schemas, chunkRows } = options;
  const own = {
    table,
    estimatedRows: schemas.monolith.get(table.label)?.estimatedRows ?? 0,
    counts: true,
  };
  const sums = sumsOf({
    source: sides.monolith.read,
    target: sides.service.read,
    table,
    rangeRows: chunkRows * RANGE_CHUNKS,
    smallRows: chunkRows,
  });
  if (sums)
    return [
      {
        ...own,
        name: `${table.label} by sums`,
        from: (cursor) => bySums(table, sums(cursor?.[0] ?? null), options),
      },
    ];
  return [
    {
      ...own,
      name: `${table.label} by rows`,
      from: (cursor) => rowsOf(table, EVERYTHING, options, cursor),
    },
    ...table.edges.map((edge): Walk => {
      const label = formatTable(edge.target);
      return {
        name: `${table.label} and the keys of ${label}`,
        table,
        estimatedRows: schemas.service.get(label)?.estimatedRows ?? 0,
        counts: false,
        from: (cursor) => extras(table, edge, EVERYTHING, options, cursor),
      };
    }),
  ];
}

async function* bySums(
  table: SourceTable,
  ranges: AsyncGenerator<SummedRange>,
  options: WalkOptions,
): AsyncGenerator<Finished> {
  for await (const { upTo, rows, differing, last } of ranges) {
    const suspects = new Map<string, Key>();
    for (const range of differing)
      for (const walk of [
        rowsOf(table, range, options),
        ...table.edges.map((edge) => extras(table, edge, range, options)),
      ])
        for await (const found of walk)
          for (const key of found.suspects) suspects.set(keyText(key), key);
    yield {
      ...{ cursor: upTo === null ? null : [upTo], rows, last },
      suspects: [...suspects.values()],
    };
  }
}

/** The monolith's rows in a range of keys, chunk by chunk. */
async function* rowsOf(
  table: SourceTable,
  { after, upTo }: KeyRange,
  { sides, chunkRows }: WalkOptions,
  from: Key | null = after === null ? null : [after],
): AsyncGenerator<Finished> {
  const source = new Source(sides.monolith.read);
  const size = new FittingRows(chunkRows);
  let cursor = from;
  for (;;) {
    const limit = size.rows;
    const read = await source.readAfter(table, cursor, limit, upTo === null ? null : [upTo]);
    size.took(read.rows);
    cursor = read.cursor;
    const suspects = new Map<string, Key>();
    for (const edge of table.edges)
      for (const { key } of await compareRows(sides.service.read, table, edge, read.rows))
        suspects.set(keyText(key), key);
    const last = read.rows.length < limit;
    yield { cursor, rows: read.rows.length, suspects: [...suspects.values()], last };
    if (last) return;
  }
}

/** Keys of the service in a range that the monolith does not have. */
async function* extras(
  table: SourceTable,
  edge: Edge,
  { after, upTo }: KeyRange,
  { sides, chunkRows }: WalkOptions,
  from: Key | null = after === null ? null : [after],
): AsyncGenerator<Finished> {
  const source = new Source(sides.monolith.read);
  let cursor = from;
  for (;;) {
    const keys = await nextKeys(
      sides.service.read,
      edge.target,
      targetKey(edge),
      cursor,
      chunkRows,
      upTo === null ? null : [upTo],
      extraRows(edge),
    );
    cursor = keys.at(-1) ?? cursor;
    const present = await source.existing(table, keys);
    const suspects = keys.filter((key) => !present.has(keyText(key)));
    const last = keys.length < chunkRows;
    yield { cursor, rows: keys.length, suspects, last };
    if (last) return;
  }
}
