// A change as it comes out of a source's log. Values are PostgreSQL's own text; null is SQL NULL and
// undefined is "not sent": an unchanged TOAST value, or a column that a key image does not hold.
import type { Lsn, Position } from '../../core/postgres/lsn.ts';

export interface RelationColumn {
  readonly name: string;
  /** Part of the replica identity. */
  readonly key: boolean;
  /** `pg_attribute.atttypid` and `atttypmod` as they were; only where they were asked for. */
  readonly typeOid?: number;
  readonly typmod?: number;
}

export interface Relation {
  readonly schema: string;
  readonly table: string;
  readonly columns: readonly RelationColumn[];
  /** Of the table, and its `relreplident` as it was; only where they were asked for. */
  readonly oid?: number;
  readonly identity?: string;
}

export type Value = string | null | undefined;
export type Tuple = readonly Value[];

export type Change =
  | { readonly kind: 'insert'; readonly relation: Relation; readonly after: Tuple }
  | {
      readonly kind: 'update';
      readonly relation: Relation;
      /** Old key (when it changed) or old row (replica identity full). */
      readonly before: Tuple | undefined;
      readonly after: Tuple;
    }
  | { readonly kind: 'delete'; readonly relation: Relation; readonly before: Tuple }
  | { readonly kind: 'truncate'; readonly relations: readonly Relation[] }
  | { readonly kind: 'message'; readonly prefix: string; readonly content: string };

/** A change of one row. */
export type RowChange = Change & { readonly kind: 'insert' | 'update' | 'delete' };

export interface TransactionHead {
  readonly xid: number;
  readonly commitLsn: Lsn;
  /** Unix milliseconds by the source's clock. */
  readonly commitMs: number;
  /** The same in microseconds, where the log says it. */
  readonly commitUs?: number;
  /** Name of the replication origin under which it was written, where there was one. */
  readonly origin: string | undefined;
  /** Where the log says it of each transaction; the flow's own otherwise. */
  readonly timeline?: number;
}

/** Where a partition of a log goes on. */
export interface LogPlace {
  /** Of the record that comes next. */
  readonly next: bigint;
  /** Of the last record before it. */
  readonly position: Position;
  /** Which of the records of that position it was, where a change is several; counted from 0. */
  readonly part: number;
  /** Of a connector's partition: where the last change was, where `position` is of the transaction before. */
  readonly lsn?: Lsn;
  /** Of which rows: those of one COPY stand at one place. */
  readonly keys?: readonly string[];
  /** The last record that came by it does not say where its change was made. */
  readonly originless?: boolean;
  /** Of a connector's partition: the tables have been copied since this place, whatever came to be missing before it. */
  readonly copied?: Lsn;
}

/** How far a log of partitions has been read with a piece. */
export interface ReadUpTo {
  /** Of the partitions that the piece came by, by `topic/partition`. */
  readonly places: ReadonlyMap<string, LogPlace>;
  /** Everything up to here has been handed over, by whichever partition it came. */
  readonly complete: Position;
  /** To be noted even if the piece has no effect: what lies before it may soon be gone. */
  readonly due: boolean;
  /** Changes before the piece are missing: the tables are to be copied again. */
  readonly copyAgain?: boolean;
}

/** A run of changes of one transaction; most transactions are one piece. */
export interface Piece {
  readonly head: TransactionHead;
  readonly changes: readonly Change[];
  /** Where in the WAL each change is; only where it was asked for. */
  readonly lsns?: readonly Lsn[] | undefined;
  /** How many changes there are, and about how many bytes they take. */
  readonly size: number;
  readonly bytes: number;
  /** Sequence number of the first change; they count up by one. */
  readonly firstSeq: number;
  /** Set on the last piece of a transaction: where the next one begins. */
  readonly endLsn: Lsn | undefined;
  /** Set where the log is not the slot itself; to be stored with the checkpoint. */
  readonly read?: ReadUpTo;
}
