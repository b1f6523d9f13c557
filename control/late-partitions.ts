// Partitions that have come since the fence was made. They inherit its row triggers, and no trigger of
// the statement kind: without one of their own they could be truncated by anybody.
import { quoteLiteral, quoteTable, type TableName } from '../core/postgres/identifiers.ts';
import { TRUNCATE_TRIGGER, truncateStatements } from './domain/fence.ts';
import type { Owner } from './domain/phase.ts';
import type { Participant } from './participant.ts';

const LOCK_TIMEOUT_MS = 300;

/** Closes what has come to a closed table; gives its names. Throws STALE_COORDINATOR. */
export async function coverPartitions(
  side: Participant,
  owner: Owner,
  epoch: number,
): Promise<string[]> {
  // During a write canary both sides write, and other triggers keep tables from being truncated.
  if (!(await side.present()) || (await side.isShared())) return [];
  const covered: string[] = [];
  const { fence, tables } = side.closed(owner);
  for (const fenced of tables.filter(({ rows }) => rows))
    for (const partition of await uncovered(side, fenced.table)) {
      await side.guarded(epoch, async (client) => {
        await client.query(
          [
            `SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`,
            ...truncateStatements(fence, fenced, partition),
          ].join(';\n'),
        );
      });
      covered.push(`${partition.schema}.${partition.table}`);
    }
  return covered;
}

async function uncovered({ client }: Participant, table: TableName): Promise<TableName[]> {
  const { rows } = await client.query<TableName>(
    `SELECT n.nspname AS schema, c.relname AS table FROM pg_partition_tree(to_regclass($1)) p
       JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE p.level > 0 AND NOT EXISTS (SELECT 1 FROM pg_trigger g
        WHERE g.tgrelid = c.oid AND g.tgname = ${quoteLiteral(TRUNCATE_TRIGGER)}) ORDER BY 1, 2`,
    [quoteTable(table)],
  );
  return rows;
}
