// What a live database's catalog says of tables: columns, keys, foreign keys, sequences.
import type pg from 'pg';
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
  readonly primaryKey: readonly string[];
  /** Column sets of unique indexes that are neither partial nor on expressions. */
  readonly uniqueKeys: readonly (readonly string[])[];
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

/**
 * In SQL, of `pg_attribute a`: equality does not tell whether two values of the column are the same. Its type has
 * none of its own, or is made of parts that may have none (json, xml, point, a composite); or it takes values for
 * equal that read otherwise ('1 mon' and '30 days', a citext, a collation without regard to case). Domains and
 * arrays of them too.
 */
export const UNTOLD_BY_EQUALITY = `
       (SELECT one.typname IN ('interval', 'citext')
            OR coalesce((SELECT NOT l.collisdeterministic FROM pg_collation l WHERE l.oid = a.attcollation), false)
            OR one.typcategory NOT IN ('S', 'E', 'R', 'I') AND NOT EXISTS (SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod
                 WHERE o.opcintype = one.oid AND o.opcdefault AND m.amname IN ('btree', 'hash'))
          FROM pg_type t JOIN pg_type base ON base.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
          JOIN pg_type one ON one.oid = CASE base.typcategory WHEN 'A' THEN base.typelem ELSE base.oid END
         WHERE t.oid = a.atttypid)`;

/** A default has no columns in it: told of the table, pg_get_expr would wait for its lock. */
const COLUMNS = `
SELECT a.attname AS name, format_type(a.atttypid, -1) AS type, format_type(a.atttypid, a.atttypmod) AS full_type, a.attnotnull AS not_null,
       (a.atthasdef OR a.attidentity <> '') AS has_default, a.attgenerated <> '' AS generated, a.attidentity = 'a' AS fixed,
       ${UNTOLD_BY_EQUALITY} AS unequal,
       (SELECT pg_get_expr(d.adbin, 0) FROM pg_attrdef d WHERE d.adrelid = c.oid AND d.adnum = a.attnum AND a.attgenerated = '') AS initial,
       EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f' AND a.attnum = ANY (k.conkey)) AS reference,
       q.name AS sequence, q.seqincrement::text AS increment,
       CASE WHEN has_sequence_privilege(q.seqrelid, 'SELECT, USAGE') THEN pg_sequence_last_value(q.seqrelid)::text END AS last,
       coalesce(has_sequence_privilege(q.seqrelid, 'SELECT'), false) AS readable
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN LATERAL (
       SELECT coalesce(
         pg_get_serial_sequence(quote_ident(n.nspname) || '.' || quote_ident(c.relname), a.attname),
         (SELECT quote_ident(sn.nspname) || '.' || quote_ident(s.relname)
            FROM pg_attrdef d JOIN pg_depend dep ON dep.classid = 'pg_attrdef'::regclass AND dep.objid = d.oid
                 AND dep.refclassid = 'pg_class'::regclass
            JOIN pg_class s ON s.oid = dep.refobjid AND s.relkind = 'S' JOIN pg_namespace sn ON sn.oid = s.relnamespace
           WHERE d.adrelid = c.oid AND d.adnum = a.attnum LIMIT 1)) AS name) AS named ON true
  LEFT JOIN LATERAL (SELECT named.name, s.* FROM pg_sequence s WHERE s.seqrelid = to_regclass(named.name)) AS q ON true
 WHERE c.oid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum`;

const TABLE = `
SELECT (SELECT array_agg(a.attname::text ORDER BY k.place)
          FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place), pg_attribute a
         WHERE i.indrelid = c.oid AND i.indisprimary AND k.place <= i.indnkeyatts AND a.attrelid = c.oid AND a.attnum = k.attnum) AS primary_key,
       (SELECT jsonb_agg(u.columns) FROM (
          SELECT (SELECT jsonb_agg(a.attname) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])) AS columns
            FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL) u) AS unique_keys,
       c.relkind = 'p' AS partitioned, c.relpersistence = 'u' AS unlogged, (SELECT l.relreplident FROM pg_class l
         WHERE l.oid = c.oid OR l.oid IN (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf)
         ORDER BY position(l.relreplident IN 'ndif') LIMIT 1) AS identity,
       (SELECT array_agg(DISTINCT fn.nspname || '.' || f.relname) FROM pg_constraint k JOIN pg_class f ON f.oid = k.confrelid
          JOIN pg_namespace fn ON fn.oid = f.relnamespace WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.confrelid <> c.oid) AS refs,
       (SELECT jsonb_agg(jsonb_build_object('table', fn.nspname || '.' || f.relname, 'deferrable', k.condeferrable,
                 'columns', (SELECT jsonb_agg(a.attname ORDER BY o.place) FROM unnest(k.conkey) WITH ORDINALITY AS o(attnum, place)
                               JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = o.attnum),
                 'references', (SELECT jsonb_agg(a.attname ORDER BY o.place) FROM unnest(k.confkey) WITH ORDINALITY AS o(attnum, place)
                               JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = o.attnum)) ORDER BY k.oid)
          FROM pg_constraint k JOIN pg_class f ON f.oid = k.confrelid JOIN pg_namespace fn ON fn.oid = f.relnamespace
         WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.conparentid = 0) AS foreign_keys,
       (SELECT array_agg(fn.nspname || '.' || f.relname || '.' || k.conname) FROM pg_constraint k JOIN pg_class f ON f.oid = k.conrelid
          JOIN pg_namespace fn ON fn.oid = f.relnamespace WHERE k.confrelid = c.oid AND k.contype = 'f' AND k.conrelid <> c.oid) AS inbound,
       (SELECT array_agg(hn.nspname || '.' || h.relname ORDER BY h.oid) FROM pg_inherits i JOIN pg_class h ON h.oid = i.inhrelid
          JOIN pg_namespace hn ON hn.oid = h.relnamespace WHERE i.inhparent = c.oid AND NOT h.relispartition) AS heirs,
       (WITH RECURSIVE taken AS (
          SELECT k.oid, k.conrelid, k.confdeltype FROM pg_constraint k
           WHERE k.confrelid = c.oid AND k.contype = 'f' AND k.conparentid = 0 AND k.confdeltype IN ('c', 'n', 'd')
          UNION
          SELECT k.oid, k.conrelid, k.confdeltype FROM taken t JOIN pg_constraint k ON k.confrelid IN (t.conrelid, pg_partition_root(t.conrelid)) AND t.confdeltype = 'c'
           WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confdeltype IN ('c', 'n', 'd'))
        SELECT jsonb_agg(jsonb_build_object(
                 'child', jsonb_build_object('schema', kn.nspname, 'table', kc.relname), 'parent', jsonb_build_object('schema', pn.nspname, 'table', pc.relname),
                 'table', tn.nspname || '.' || r.relname, 'cascades', k.confdeltype = 'c',
                 'columns', (SELECT jsonb_agg(a.attname ORDER BY o.place) FROM unnest(k.conkey) WITH ORDINALITY AS o(attnum, place)
                               JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = o.attnum),
                 'references', (SELECT jsonb_agg(a.attname ORDER BY o.place) FROM unnest(k.confkey) WITH ORDINALITY AS o(attnum, place)
                               JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = o.attnum)) ORDER BY k.oid)
          FROM taken t JOIN pg_constraint k ON k.oid = t.oid
          JOIN pg_class kc ON kc.oid = k.conrelid JOIN pg_namespace kn ON kn.oid = kc.relnamespace
          JOIN pg_class pc ON pc.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = pc.relnamespace
          JOIN pg_class r ON r.oid = coalesce(pg_partition_root(t.conrelid)::oid, t.conrelid)
          JOIN pg_namespace tn ON tn.oid = r.relnamespace) AS takes,
       (SELECT array_agg(a.attname::text) FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
         WHERE i.indrelid = c.oid AND i.indisreplident) AS identity_index,
       (SELECT jsonb_agg(jsonb_build_object('name', g.tgname, 'before', g.tgtype & 2 > 0,
                 'source', CASE WHEN l.lanname IN ('plpgsql', 'sql') THEN p.prosrc END) ORDER BY g.tgname)
          FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid JOIN pg_language l ON l.oid = p.prolang
         WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgenabled IN ('O', 'A') AND g.tgname NOT LIKE 'banyan%') AS triggers,
       greatest(c.reltuples, 0)::bigint AS estimated
  FROM pg_class c WHERE c.oid = $1::regclass`;

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
