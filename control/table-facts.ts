// What the triggers on a table must know of it beforehand, and whose triggers are on it.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import { UNTOLD_BY_EQUALITY } from '../core/postgres/catalog-sql.ts';
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

/**
 * Throws PREFLIGHT_FAILED where another table inherits from one of these and is no partition: its rows are
 * theirs to every query, and triggers of theirs do not fire for them.
 */
export async function assertNoHeirs(
  client: pg.Client,
  tables: readonly TableName[],
): Promise<void> {
  const { rows } = await client.query<{ heir: string; parent: string }>(
    `SELECT h.oid::regclass::text AS heir, i.inhparent::regclass::text AS parent
       FROM pg_inherits i JOIN pg_class h ON h.oid = i.inhrelid
      WHERE NOT h.relispartition AND i.inhparent IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS name)
      ORDER BY h.oid`,
    [tables.map(quoteTable)],
  );
  if (rows.length === 0) return;
  throw new BanyanError(
    'PREFLIGHT_FAILED',
    rows.map(({ heir, parent }) => `${heir} inherits from ${parent}`).join(', '),
    {
      hint: 'No fence would stand there. Make it a partition, or take it off: ALTER TABLE … NO INHERIT ….',
    },
  );
}

/** Columns of which equality does not tell whether two values are the same. */
export async function columnsWithoutEquality(
  client: pg.Client,
  table: TableName,
): Promise<Set<string>> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT a.attname AS name FROM pg_attribute a
      WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped AND ${UNTOLD_BY_EQUALITY}`,
    [quoteTable(table)],
  );
  return new Set(rows.map((row) => row.name));
}

/** A condition in SQL: relation `t` has a trigger of ours whose first argument, the capability, is this. */
export function markedBy(capability: string): string {
  return `EXISTS (
    SELECT 1 FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE g.tgrelid = t.oid AND g.tgparentid = 0 AND n.nspname = 'banyan'
       AND split_part(encode(g.tgargs, 'escape'), '\\000', 1) = ${capability})`;
}

/** Tables that have triggers of the capability, whatever the definition names by now; partitions come with theirs. */
export async function markedTables(client: pg.Client, capability: string): Promise<TableName[]> {
  const { rows } = await client.query<TableName>(
    `SELECT n.nspname AS schema, t.relname AS table FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
      WHERE t.relkind IN ('r', 'p') AND NOT t.relispartition AND ${markedBy('$1')} ORDER BY 1, 2`,
    [capability],
  );
  return rows;
}
