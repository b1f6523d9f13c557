// What the triggers on a table must know of it beforehand.
import type pg from 'pg';
import { quoteTable, type TableName } from '../core/postgres/identifiers.ts';

/** All partitions of a table, of every level. */
export async function partitionsOf(client: pg.Client, table: TableName): Promise<TableName[]> {
  const { rows } = await client.query<{ schema: string; table: string }>(
    `SELECT n.nspname AS schema, c.relname AS table FROM pg_partition_tree(to_regclass($1)) p
       JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE p.level > 0 ORDER BY 1, 2`,
    [quoteTable(table)],
  );
  return rows;
}

/** Columns whose type, or the type of whose elements, no operator compares. */
export async function columnsWithoutEquality(
  client: pg.Client,
  table: TableName,
): Promise<Set<string>> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT a.attname AS name FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
       JOIN pg_type base ON base.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
       JOIN pg_type one ON one.oid = CASE base.typcategory WHEN 'A' THEN base.typelem ELSE base.oid END
      WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped
        AND one.typcategory NOT IN ('S', 'E', 'R', 'I')
        AND NOT EXISTS (SELECT 1 FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod
                         WHERE o.opcintype = one.oid AND o.opcdefault AND m.amname IN ('btree', 'hash'))`,
    [quoteTable(table)],
  );
  return new Set(rows.map((row) => row.name));
}
