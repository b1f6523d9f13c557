// What a live database's catalog says of tables: columns, keys, foreign keys, sequences.
import type pg from 'pg';
import { COLUMNS, TABLE } from './catalog-sql.ts';
import { formatTable, type TableName } from './identifiers.ts';

export interface LiveColumn {
  readonly name: string;
  /** Type without modifier, usable in a cast: `numeric`, `character varying`, `bpchar`. */
  readonly type: string;
  /** With its modifier: `numeric(12,2)`. */
  readonly fullType: string;
  readonly notNull: boolean;
  /** Has a default, an identity or a generation expression: an insert may leave it out. */
  readonly hasDefault: boolean;
  /** Its default where that is one value, as text. */
  readonly constant: string | null;
  readonly generated: boolean;
  /** GENERATED ALWAYS AS IDENTITY: an insert may give it a number, an update may not. */
  readonly fixed: boolean;
  /** Its equality does not tell whether two values are the same (`UNTOLD_BY_EQUALITY`). */
  readonly unequal: boolean;
  /** Part of a foreign key. */
  readonly reference: boolean;
  /** Sequence behind its default or identity. */
  readonly sequence: Sequence | null;
}

export interface Sequence {
  /** Schema-qualified and quoted. */
  readonly name: string;
  readonly increment: bigint;
  /** A number that it has given, or will give first; null where that may not be read. */
  readonly last: bigint | null;
}

export interface LiveTable extends TableName {
  readonly columns: ReadonlyMap<string, LiveColumn>;
  /** Empty where it may be looked at at the end only: neither replication nor an upsert goes by it. */
  readonly primaryKey: readonly string[];
  /** Column sets of unique indexes that are neither partial, nor on expressions, nor looked at at the end only. */
  readonly uniqueKeys: readonly (readonly string[])[];
  /** It has a key that is DEFERRABLE. */
  readonly deferrableKey: boolean;
  /** Its rows are in partitions. */
  readonly partitioned: boolean;
  /** Its rows are in no WAL: nobody is sent them, and after a crash there are none. */
  readonly unlogged: boolean;
  readonly replicaIdentity: 'default' | 'nothing' | 'full' | 'index';
  /** Columns of the index that is the replica identity, where one is. */
  readonly identityIndex: readonly string[];
  /** Tables that its foreign keys point to, `schema.table`. */
  readonly references: readonly string[];
  /** Its foreign keys. */
  readonly foreignKeys: readonly LiveForeignKey[];
  /** Foreign keys that point here, `schema.table.constraint`. */
  readonly inbound: readonly string[];
  /** Tables that inherit its columns and are no partitions: a query of it shows their rows, no trigger of it fires for them. */
  readonly heirs: readonly string[];
  /** Foreign keys by which the server deletes or changes other rows when one of this table goes, directly or in the end. */
  readonly takes: readonly Taking[];
  /** Triggers of the team's own that fire for ordinary sessions. */
  readonly triggers: readonly LiveTrigger[];
  readonly estimatedRows: number;
}

export interface LiveForeignKey {
  readonly columns: readonly string[];
  /** Where it points, `schema.table` and columns in the same order. */
  readonly table: string;
  readonly references: readonly string[];
  /** It may be looked at no sooner than at the end of a transaction. */
  readonly deferrable: boolean;
}

/** A foreign key by which rows go or change with those that they point to. */
export interface Taking {
  readonly child: TableName;
  readonly parent: TableName;
  /** The child as `schema.table`; of a partition, the whole table's. */
  readonly table: string;
  /** Its columns that point, and what each of them points to. */
  readonly columns: readonly string[];
  readonly references: readonly string[];
  /** The child's row goes; otherwise it only points elsewhere. */
  readonly cascades: boolean;
}

export interface LiveTrigger {
  readonly name: string;
  /** Before a row is written: it may change what is. */
  readonly before: boolean;
  /** What its function does, where that is written in SQL or PL/pgSQL. */
  readonly source: string | null;
}

/** By `schema.table`. */
export type LiveSchema = ReadonlyMap<string, LiveTable>;

interface ColumnRow {
  name: string;
  type: string;
  full_type: string;
  not_null: boolean;
  has_default: boolean;
  /** The default as it is written. */
  initial: string | null;
  generated: boolean;
  fixed: boolean;
  unequal: boolean;
  reference: boolean;
  sequence: string | null;
  increment: string | null;
  /** The last number that it has given. */
  last: string | null;
  readable: boolean;
}

interface TableRow {
  primary_key: string[] | null;
  unique_keys: string[][] | null;
  deferrable_key: boolean;
  partitioned: boolean;
  unlogged: boolean;
  identity: 'd' | 'n' | 'f' | 'i';
  refs: string[] | null;
  foreign_keys: LiveForeignKey[] | null;
  inbound: string[] | null;
  heirs: string[] | null;
  takes: Taking[] | null;
  identity_index: string[] | null;
  triggers: LiveTrigger[] | null;
  estimated: string;
}

const IDENTITIES = { d: 'default', n: 'nothing', f: 'full', i: 'index' } as const;

/** The named tables that exist; a missing one is simply not in the answer. */
export async function readSchema(
  client: pg.Client,
  tables: readonly TableName[],
): Promise<LiveSchema> {
  const schema = new Map<string, LiveTable>();
  for (const name of tables) {
    const label = formatTable(name);
    const known = await client.query<{ found: string | null }>(
      'SELECT to_regclass(format($$%I.%I$$, $1::text, $2::text))::text AS found',
      [name.schema, name.table],
    );
    const found = known.rows[0]?.found;
    if (found === null || found === undefined || schema.has(label)) continue;
    const table = (await client.query<TableRow>(TABLE, [found])).rows[0];
    const columns = (await client.query<ColumnRow>(COLUMNS, [found])).rows;
    if (!table) continue;
    const sequences = new Map<string, Sequence | null>();
    for (const row of columns) sequences.set(row.name, await sequenceOf(client, row));
    schema.set(label, {
      ...name,
      columns: new Map(
        columns.map((row): [string, LiveColumn] => [
          row.name,
          {
            name: row.name,
            type: row.type,
            fullType: row.full_type,
            notNull: row.not_null,
            hasDefault: row.has_default,
            constant: constantOf(row.initial),
            generated: row.generated,
            ...{ fixed: row.fixed, unequal: row.unequal },
            reference: row.reference,
            sequence: sequences.get(row.name) ?? null,
          },
        ]),
      ),
      primaryKey: table.primary_key ?? [],
      uniqueKeys: table.unique_keys ?? [],
      deferrableKey: table.deferrable_key,
      ...{ partitioned: table.partitioned, unlogged: table.unlogged },
      replicaIdentity: IDENTITIES[table.identity],
      references: table.refs ?? [],
      foreignKeys: table.foreign_keys ?? [],
      inbound: table.inbound ?? [],
      heirs: table.heirs ?? [],
      takes: table.takes ?? [],
      identityIndex: table.identity_index ?? [],
      triggers: table.triggers ?? [],
      estimatedRows: Number(table.estimated),
    });
  }
  return schema;
}

/** `'x'::text`, `1`, `true`; anything else may be another value each time. */
function constantOf(initial: string | null): string | null {
  if (initial === null) return null;
  const quoted = /^'((?:[^']|'')*)'::[\w .,"[\]()]+$/.exec(initial)?.[1];
  if (quoted !== undefined) return quoted.replaceAll("''", "'");
  const plain = /^\(?(-?\d+(?:\.\d+)?|true|false)\)?(?:::[\w .,"()]+)?$/.exec(initial)?.[1];
  if (plain === 'true' || plain === 'false') return plain === 'true' ? 't' : 'f';
  return plain ?? null;
}

async function sequenceOf(
  client: pg.Client,
  { sequence, increment, last, readable }: ColumnRow,
): Promise<Sequence | null> {
  if (sequence === null) return null;
  // Before its first number it stands where it was last restarted; where it began the catalog says.
  const known = last ?? (readable ? await standing(client, sequence) : null);
  return {
    ...{ name: sequence, increment: BigInt(increment ?? 1) },
    last: known === null ? null : BigInt(known),
  };
}

async function standing(client: pg.Client, sequence: string): Promise<string | null> {
  const { rows } = await client.query<{ last: string }>(
    `SELECT last_value::text AS last FROM ${sequence}`,
  );
  return rows[0]?.last ?? null;
}
