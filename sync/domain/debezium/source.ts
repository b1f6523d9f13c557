// What Debezium's encodings depend on: the columns of a source table with their types, as its catalog
// has them, and the connector's modes. Domains are resolved to the type they are made of.

export interface SourceType {
  /** `pg_type.typname`: `int4`, `numeric`, `hstore`; an array's begins with `_`. */
  readonly name: string;
  /** Of the column or, where that has none, of its domain; -1 is none. */
  readonly typmod: number;
  /** Of an enum, in its order. */
  readonly labels?: readonly string[] | undefined;
  /** Of an array. */
  readonly element?: SourceType | undefined;
  /** Of an array: its column is of a domain, whose name does not tell the connector that it is one. */
  readonly domain?: true | undefined;
}

export interface SourceColumn {
  readonly name: string;
  readonly type: SourceType;
  /**
   * Its place in the record's key, from 1: that is the primary key or, where there is none, a unique
   * index.
   */
  readonly keyPlace?: number | undefined;
  /** Part of the replica identity. */
  readonly identity: boolean;
  readonly notNull: boolean;
  /** Computed by PostgreSQL; such a column is in no record, unless its publication says so. */
  readonly generated?: boolean;
  /** The default as PostgreSQL prints it: `'a'::text`, `5`. */
  readonly defaultText?: string | undefined;
}

export interface SourceTable {
  readonly schema: string;
  readonly table: string;
  readonly identity: 'default' | 'full' | 'index' | 'nothing';
  readonly columns: readonly SourceColumn[];
}

/** Looks a table up; undefined when the catalog was read before it was there. */
export type SourceTables = (name: {
  readonly schema: string;
  readonly table: string;
}) => SourceTable | undefined;

/** `decimal.handling.mode`. */
export type Decimals = 'precise' | 'string' | 'double';

/** `time.precision.mode`. */
export type Temporals =
  | 'adaptive'
  | 'adaptive_time_microseconds'
  | 'microseconds'
  | 'nanoseconds'
  | 'isostring'
  | 'connect';

export interface Modes {
  readonly decimals: Decimals;
  readonly temporals: Temporals;
  /** `interval.handling.mode`. */
  readonly intervals: 'numeric' | 'string';
  /** `binary.handling.mode`; both base64 in JSON when `bytes`. */
  readonly binary: 'bytes' | 'base64' | 'base64-url-safe' | 'hex';
  /** `hstore.handling.mode`. */
  readonly hstore: 'json' | 'map';
  /**
   * Where Debezium's form would lose something (an interval, a zone, a leading zero bit, NaN, a type
   * that it does not carry), PostgreSQL's text goes in its place.
   */
  readonly exact: boolean;
}

/** The connector's own defaults. */
export const DEBEZIUM_DEFAULTS: Modes = {
  decimals: 'precise',
  temporals: 'adaptive',
  intervals: 'numeric',
  binary: 'bytes',
  hstore: 'json',
  exact: false,
};

/** What Debezium writes for a value that was not sent because it is stored apart and did not change. */
export const UNAVAILABLE = '__debezium_unavailable_value';

/** The same in an array of `bytea`, and in one of `uuid` (that of version 3 of these bytes). */
export const UNAVAILABLE_BYTES = Buffer.from(UNAVAILABLE).toString('base64');
export const UNAVAILABLE_UUID = 'b68a35a7-17ad-35b3-af2a-ae46edb4545a';
