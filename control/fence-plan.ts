// The fence of one side, worked out before anybody is held: its statements, and what the catalog said
// when they were written. One look under the locks then tells whether the tables are still the same:
// a partition that has come meanwhile, or a column, would have no trigger of its own.
import type pg from 'pg';
import { quoteLiteral, quoteTable, type TableName } from '../core/postgres/identifiers.ts';
import { fenceStatements, type Fence, type FencedTable } from './domain/fence.ts';
import { scalar } from './scalar.ts';
import { columnsWithoutEquality, partitionsOf } from './table-facts.ts';

export interface FencePlan {
  readonly statements: readonly string[];
  /** A query, and what it gave; the plan holds as long as it gives the same. */
  readonly facts: { readonly text: string; readonly found: string };
}

export async function planFence(
  client: pg.Client,
  fence: Fence,
  tables: readonly FencedTable[],
): Promise<FencePlan> {
  const text = factsText(tables.map(({ table }) => table));
  // Read first: what changes from here on is seen under the locks.
  const found = await scalar(client, text);
  const statements: string[] = [];
  for (const one of tables) {
    const unequal = await columnsWithoutEquality(client, one.table);
    statements.push(...fenceStatements(fence, one, unequal, await partitionsOf(client, one.table)));
  }
  return { statements, facts: { text, found } };
}

/** The columns of the tables with their types, and their partitions, as one number. */
function factsText(tables: readonly TableName[]): string {
  const names = tables.map((table) => `(${quoteLiteral(quoteTable(table))}::regclass)`).join(', ');
  return `SELECT hashtextextended(coalesce(string_agg(fact, ' ' ORDER BY fact), ''), 0)::text AS facts FROM (
    SELECT format('%s.%s:%s', a.attrelid, a.attnum, a.atttypid) AS fact
      FROM (VALUES ${names}) AS t(oid) JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT format('%s/%s', t.oid, p.relid) FROM (VALUES ${names}) AS t(oid), pg_partition_tree(t.oid) p) f`;
}
