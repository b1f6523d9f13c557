// What a copy and the applier hand each other: marks in the stream, what was read between two of them,
// and the chunk that becomes of it.
import type { TableName } from '../core/postgres/identifiers.ts';
import type { FlowMessage } from '../control/domain/flow.ts';
import type { RowChange } from './domain/change.ts';
import type { Snapshot } from './domain/snapshot.ts';
import type { Copy } from './domain/statements.ts';

export type Mark = FlowMessage & { readonly kind: 'low' | 'high' };

export interface Chunk {
  readonly table: string;
  /** Number of rows. */
  readonly size: number;
  rows(): readonly RowChange[];
  /** The same rows as they go into targets that have none of them, parents first. */
  readonly copies?: readonly TableCopy[] | undefined;
  readonly progress:
    | { readonly kind: 'copy'; readonly cursor: readonly string[] | null; readonly last: boolean }
    | {
        readonly kind: 'reread';
        readonly resolved: readonly (readonly string[])[];
        /** Those of them that are parts whose driver is not there. */
        readonly awaited: readonly (readonly string[])[];
      };
}

export interface TableCopy extends Copy {
  readonly table: TableName;
  readonly skipsTriggers: boolean;
}

/** What was read between two marks: becomes a chunk once it is known which keys the stream touched. */
export interface Reading {
  readonly snapshot: Snapshot;
  /** Without an argument all rows survive. */
  chunk(survives?: (key: readonly string[]) => boolean): Chunk;
}

/** What opens a window, what is read in it, and what closes it. */
export interface Marks<T extends Reading> {
  low(window: number, run: string): Promise<unknown>;
  read(): Promise<T>;
  high(window: number, run: string): Promise<unknown>;
}
