// What a fence has lost since it was made. Partitions that have come inherit its row triggers and no
// trigger of the statement kind: without one of their own anybody could truncate them. And whoever may
// alter a table can disable its triggers, enable them again in the wrong way, replace or drop them.
import {
  formatTable,
  parseTableName,
  quoteLiteral,
  quoteTable,
  type TableName,
} from '../core/postgres/identifiers.ts';
import { claimsOfOthers } from './claims.ts';
import {
  fenceStatements,
  FENCE_TRIGGERS,
  truncateStatements,
  type FencedTable,
} from './domain/fence.ts';
import type { Owner } from './domain/phase.ts';
import type { Participant } from './participant.ts';
import { columnsWithoutEquality, partitionsOf } from './table-facts.ts';
import { LOCK_TIMEOUT_MS } from './table-locks.ts';

/** Names of tables, `schema.table`. */
export interface Mended {
  /** Partitions that had come since. */
  readonly partitions: readonly string[];
  /** Tables whose triggers were not as the fence had made them. */
  readonly restored: readonly string[];
  /** Those whose lock could not be had, and who is in the way. */
  readonly waiting: readonly string[];
  readonly blockers: readonly string[];
}

interface Gap {
  readonly fenced: FencedTable;
  readonly tables: readonly TableName[];
  /** More than the trigger that a partition does not inherit: the table's fence is made anew. */
  readonly isWhole: boolean;
}

/** Whether a side that is closed while `owner` owns is closed no more, somewhere. */
export async function hasGaps(side: Participant, owner: Owner): Promise<boolean> {
  return (await gapsOf(side, owner)).length > 0;
}

/** Closes them, each with a lock of its own. Throws STALE_COORDINATOR. */
export async function mendFence(side: Participant, owner: Owner, epoch: number): Promise<Mended> {
  const partitions: string[] = [];
  const restored: string[] = [];
  const waiting: string[] = [];
  for (const gap of await gapsOf(side, owner)) {
    const statements = await statementsFor(side, owner, gap);
    const names = gap.tables.map(formatTable);
    const locked = gap.isWhole ? [gap.fenced.table] : gap.tables;
    const isDone = (): Promise<boolean> => Promise.resolve(true);
    if (!(await side.underLocks(epoch, statements, isDone, locked))) waiting.push(...names);
    else (gap.isWhole ? restored : partitions).push(...names);
  }
  const blockers = waiting.length > 0 ? await side.blockers(LOCK_TIMEOUT_MS) : [];
  return { partitions, restored, waiting, blockers };
}

async function gapsOf(side: Participant, owner: Owner): Promise<Gap[]> {
  // During a write canary both sides write, and other triggers keep tables from being truncated.
  if (!(await side.present()) || (await side.isShared())) return [];
  const gaps: Gap[] = [];
  const ours = await entered(side);
  for (const fenced of side.closed(owner).tables.filter(({ rows }) => rows)) {
    if (!ours.has(formatTable(fenced.table))) continue;
    const open = await openTables(side, fenced.table);
    const isWhole = open.some(({ lacks }) => lacks === 'rows');
    if (isWhole) gaps.push({ fenced, tables: open, isWhole });
    else for (const one of open) gaps.push({ fenced, tables: [one], isWhole });
  }
  return gaps;
}

/**
 * The tables that the capability has entered with. One that the definition has been given since, while the
 * capability was under way, has never had a fence of ours, and may have another capability's.
 */
async function entered({ client, capability, tableNames }: Participant): Promise<Set<string>> {
  const taken = new Set(
    (await claimsOfOthers(client, capability, tableNames)).map(({ table }) => table),
  );
  // A schema that was made by an older version has no such column.
  const { rows } = await client.query<{ tables: string[] | null }>(
    `SELECT to_jsonb(o) -> 'tables' AS tables FROM banyan.ownership o WHERE capability = $1`,
    [capability],
  );
  const known = rows[0]?.tables ?? tableNames.map((name) => formatTable(parseTableName(name)));
  return new Set(known.filter((name) => !taken.has(name)));
}

async function statementsFor(
  side: Participant,
  owner: Owner,
  { fenced, tables, isWhole }: Gap,
): Promise<string[]> {
  const { client } = side;
  const { fence } = side.closed(owner);
  if (!isWhole) return tables.flatMap((table) => truncateStatements(fence, fenced, table));
  const unequal = await columnsWithoutEquality(client, fenced.table);
  return fenceStatements(fence, fenced, unequal, await partitionsOf(client, fenced.table));
}

/** The table and its partitions, those that lack a trigger of ours that refuses, always fires, and fires when it must. */
async function openTables(
  { client, capability }: Participant,
  table: TableName,
): Promise<(TableName & { readonly lacks: 'rows' | 'truncates' })[]> {
  const wanted = FENCE_TRIGGERS.map(({ name, type }) => `(${quoteLiteral(name)}, ${type})`);
  const { rows } = await client.query<TableName & { lacks: 'rows' | 'truncates' }>(
    `SELECT n.nspname AS schema, c.relname AS table,
            CASE WHEN has.rows < 3 OR p.relid = to_regclass($1) THEN 'rows' ELSE 'truncates' END AS lacks
       FROM (SELECT to_regclass($1) AS relid UNION SELECT relid FROM pg_partition_tree(to_regclass($1))) p
       JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace
      CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE g.tgtype & 1 = 1) AS rows, count(*) FILTER (WHERE g.tgtype & 1 = 0) AS truncates
          FROM pg_trigger g
         WHERE g.tgrelid = c.oid AND (g.tgname, g.tgtype) IN (${wanted.join(', ')})
           AND g.tgenabled = 'A' AND g.tgfoid = to_regprocedure('banyan.fence()')
           AND split_part(encode(g.tgargs, 'escape'), '\\000', 1) = $2
           AND pg_get_triggerdef(g.oid) NOT LIKE '%WHEN (false)%') has
      WHERE c.relkind IN ('r', 'p') AND (has.rows < 3 OR has.truncates < 1) ORDER BY 1, 2`,
    [quoteTable(table), capability],
  );
  return rows;
}
