// What a source's catalog says of the tables whose changes go into records: types below all domains,
// keys as Debezium chooses them, the replica identity.
import type pg from 'pg';
import type { TableName } from '../../core/postgres/identifiers.ts';
import type { Relation } from '../domain/change.ts';
import type { SourceColumn, SourceTable, SourceType } from '../domain/debezium/source.ts';

interface TypeRow {
  type: string;
  typmod: number;
  labels: string[] | null;
  element: string | null;
  element_labels: string[] | null;
  in_domain?: boolean;
}

interface ColumnRow extends TypeRow {
  oid: string;
  type_oid: string;
  own_typmod: number;
  schema: string;
  table: string;
  identity: keyof typeof IDENTITIES;
  name: string;
  not_null: boolean;
  generated: boolean;
  key_place: number;
  in_identity: boolean;
  default_text: string | null;
}

const IDENTITIES = { d: 'default', n: 'nothing', f: 'full', i: 'index' } as const;

const labelsOf = (type: string): string =>
  `(SELECT array_agg(l.enumlabel::text ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = ${type})`;

const BY_NAME = `jsonb_to_recordset($1::jsonb) AS w(schema text, "table" text)
    JOIN pg_namespace n ON n.nspname = w.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.table`;
const BY_NUMBER = `pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND c.oid = ANY ($1::oid[])`;

/** Types below all domains, by the numbers of those that columns have. */
const TYPES = `
WITH RECURSIVE typed AS (
  SELECT t.oid AS wanted, t.oid, t.typtype, t.typbasetype, t.typtypmod, -1 AS typmod
    FROM pg_type t WHERE t.oid = ANY ($1::oid[])
  UNION ALL
  SELECT d.wanted, t.oid, t.typtype, t.typbasetype, t.typtypmod,
         CASE WHEN d.typmod = -1 THEN d.typtypmod ELSE d.typmod END
    FROM typed d JOIN pg_type t ON t.oid = d.typbasetype WHERE d.typtype = 'd'
)
SELECT t.wanted::text AS type_oid, b.typname AS type, t.typmod, ${labelsOf('b.oid')} AS labels,
       e.typname AS element, ${labelsOf('e.oid')} AS element_labels
  FROM typed t JOIN pg_type b ON b.oid = t.oid
  LEFT JOIN pg_type e ON e.oid = b.typelem AND b.typcategory = 'A'
 WHERE t.typtype <> 'd'`;

/** Debezium takes a unique index for the key where a table has no primary key. */
const columnsOf = (wanted: string): string => `
WITH RECURSIVE wanted AS (
  SELECT c.oid, n.nspname, c.relname, c.relreplident FROM ${wanted} WHERE c.relkind IN ('r', 'p')
), typed AS (
  SELECT a.attrelid, a.attnum, t.oid, t.typtype, t.typbasetype, t.typtypmod, a.atttypmod AS typmod
    FROM wanted w JOIN pg_attribute a ON a.attrelid = w.oid JOIN pg_type t ON t.oid = a.atttypid
   WHERE a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT d.attrelid, d.attnum, t.oid, t.typtype, t.typbasetype, t.typtypmod,
         CASE WHEN d.typmod = -1 THEN d.typtypmod ELSE d.typmod END
    FROM typed d JOIN pg_type t ON t.oid = d.typbasetype
   WHERE d.typtype = 'd'
), keys AS (
  SELECT DISTINCT ON (i.indrelid) i.indrelid, (i.indkey::int2[])[0:i.indnkeyatts - 1] AS columns
    FROM wanted w JOIN pg_index i ON i.indrelid = w.oid JOIN pg_class x ON x.oid = i.indexrelid
   WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
   ORDER BY i.indrelid, i.indisprimary DESC, x.relname
), identities AS (
  SELECT w.oid, (i.indkey::int2[])[0:i.indnkeyatts - 1] AS columns
    FROM wanted w JOIN pg_index i ON i.indrelid = w.oid
   WHERE CASE w.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END
)
SELECT w.oid::text, a.atttypid::text AS type_oid, a.atttypmod AS own_typmod, w.nspname AS schema, w.relname AS table, w.relreplident AS identity, a.attname AS name,
       b.typname AS type, t.typmod, ${labelsOf('b.oid')} AS labels,
       e.typname AS element, ${labelsOf('e.oid')} AS element_labels, a.atttypid <> b.oid AS in_domain,
       a.attnotnull AS not_null, a.attgenerated <> '' AS generated, coalesce(array_position(k.columns, a.attnum), 0) AS key_place,
       w.relreplident = 'f' OR coalesce(a.attnum = ANY (i.columns), false) AS in_identity,
       CASE WHEN a.attgenerated = '' AND a.atttypid = b.oid THEN pg_get_expr(f.adbin, f.adrelid) END AS default_text
  FROM wanted w
  JOIN pg_attribute a ON a.attrelid = w.oid
  JOIN typed t ON t.attrelid = a.attrelid AND t.attnum = a.attnum AND t.typtype <> 'd'
  JOIN pg_type b ON b.oid = t.oid
  LEFT JOIN pg_type e ON e.oid = b.typelem AND b.typcategory = 'A'
  LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
  LEFT JOIN keys k ON k.indrelid = w.oid
  LEFT JOIN identities i ON i.oid = w.oid
 ORDER BY w.nspname, w.relname, a.attnum`;

/** The tables that exist, with all their columns. */
export async function readSourceTables(
  client: pg.Client,
  names: readonly TableName[],
): Promise<readonly SourceTable[]> {
  const wanted = JSON.stringify(names.map(({ schema, table }) => ({ schema, table })));
  const { rows } = await client.query<ColumnRow>(columnsOf(BY_NAME), [wanted]);
  const tables = Map.groupBy(rows, ({ schema, table }) => JSON.stringify([schema, table]));
  return Array.from(tables.values(), (columns) => tableOf(columns)).filter(
    (one) => one !== undefined,
  );
}

/**
 * Tables as the log describes them: what they were called, which columns of which types they had. The
 * catalog, which may be further, adds what the log does not say, as far as it still speaks of the same.
 */
export async function describeRelations(
  client: pg.Client,
  relations: readonly Relation[],
): Promise<ReadonlyMap<Relation, SourceTable>> {
  const numbers = relations.flatMap(({ oid }) => oid ?? []);
  const { rows } = await client.query<ColumnRow>(columnsOf(BY_NUMBER), [numbers]);
  const byTable = Map.groupBy(rows, ({ oid }) => Number(oid));
  const types = [
    ...new Set(relations.flatMap(({ columns }) => columns.flatMap((one) => one.typeOid ?? []))),
  ];
  const { rows: found } = await client.query<TypeRow & { type_oid: string }>(TYPES, [types]);
  const byNumber = new Map(found.map((row) => [Number(row.type_oid), row]));
  return new Map(
    relations.map((relation) => [
      relation,
      described(relation, byTable.get(relation.oid ?? 0) ?? [], byNumber),
    ]),
  );
}

function described(
  { schema, table, columns, identity = 'd' }: Relation,
  rows: readonly ColumnRow[],
  types: ReadonlyMap<number, TypeRow>,
): SourceTable {
  const catalog = new Map(rows.map((row) => [row.name, row]));
  let keys = 0;
  return {
    ...{ schema, table, identity: isIdentity(identity) ? IDENTITIES[identity] : 'default' },
    columns: columns.map(({ name, key, typeOid = 0, typmod = -1 }) => {
      const row = catalog.get(name);
      if (row && Number(row.type_oid) === typeOid && row.own_typmod === typmod)
        return columnOf(row);
      const type = types.get(typeOid);
      // Of a table that is gone, the replica identity is all that is known of its key.
      const keyPlace = rows.length === 0 && key && identity !== 'f' ? (keys += 1) : row?.key_place;
      return {
        ...{ name, identity: key, notNull: false },
        // A type that is gone leaves PostgreSQL's text.
        type: type
          ? typeOf({ ...type, typmod: typmod === -1 ? type.typmod : typmod })
          : { name: 'text', typmod: -1 },
        ...(keyPlace !== undefined && keyPlace > 0 && { keyPlace }),
      };
    }),
  };
}

function isIdentity(letter: string): letter is keyof typeof IDENTITIES {
  return letter in IDENTITIES;
}

function tableOf(rows: readonly ColumnRow[]): SourceTable | undefined {
  const [first] = rows;
  if (!first) return undefined;
  const { schema, table, identity } = first;
  return { schema, table, identity: IDENTITIES[identity], columns: rows.map(columnOf) };
}

function columnOf(row: ColumnRow): SourceColumn {
  return {
    name: row.name,
    type: typeOf(row),
    ...(row.key_place > 0 && { keyPlace: row.key_place }),
    identity: row.in_identity,
    notNull: row.not_null,
    generated: row.generated,
    defaultText: row.default_text ?? undefined,
  };
}

function typeOf(row: TypeRow): SourceType {
  const { type, typmod, labels, element, element_labels } = row;
  return {
    name: type,
    typmod,
    labels: labels ?? undefined,
    element:
      element === null ? undefined : { name: element, typmod, labels: element_labels ?? undefined },
    domain: element !== null && row.in_domain === true ? true : undefined,
  };
}
