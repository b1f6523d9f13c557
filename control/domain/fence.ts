// The fence in SQL: triggers that refuse whatever a side does not own, whoever writes it and however.
//
// AFTER … FOR EACH ROW, so that nothing later can change the row behind its back; WHEN compares
// values, not the SET list, because ORMs save whole rows (bytes, where a type has no equality); ENABLE ALWAYS, so that replica role does
// not slip by; the exemption is by session_user, so that cascades of the applier pass and nobody
// else's SET ROLE does. Replaced rather than dropped: that lock never waits for readers.
import {
  quoteIdentifier,
  quoteLiteral,
  quoteTable,
  type TableName,
} from '../../core/postgres/identifiers.ts';
import type { RowFilter } from './mapped-table.ts';
import { belongsSql } from './row-filter.ts';

/** What one side may not touch in one table. */
export interface FencedTable {
  readonly table: TableName;
  /** Inserts, deletes and truncates are refused. */
  readonly rows: boolean;
  /** Columns whose values may not change. */
  readonly columns: readonly string[];
  /** Columns that an insert may only fill with this value (columns that stay with the other side). */
  readonly fixed: readonly { readonly column: string; readonly value: string | null }[];
  /** Only these rows are fenced, and whatever would become or stop being one of them. */
  readonly where: RowFilter;
}

export interface Fence {
  readonly capability: string;
  /** Who owns what is refused here, for the message: `the service "catalog"`. */
  readonly owner: string;
  /** Login of the applier, whose writes pass. */
  readonly applier: string;
}

const KINDS = ['insert', 'update', 'delete', 'truncate'] as const;

/**
 * Statements that bring the fence of a table to this state. Run them in one transaction, tables in
 * order. `unequal` are the columns whose type has no equality operator (json, xml, point, …);
 * `partitions` need a trigger of their own against truncates, the others they inherit.
 */
export function fenceStatements(
  fence: Fence,
  fenced: FencedTable,
  unequal: ReadonlySet<string>,
  partitions: readonly TableName[],
): string[] {
  const outsider = `session_user <> ${quoteLiteral(fence.applier)}`;
  const changed = fenced.columns.map((name) => {
    const column = quoteIdentifier(name);
    return unequal.has(name)
      ? `pg_catalog.record_image_ne(ROW(OLD.${column}), ROW(NEW.${column}))`
      : `OLD.${column} IS DISTINCT FROM NEW.${column}`;
  });
  const filled = fenced.fixed.map(
    ({ column, value }) =>
      `NEW.${quoteIdentifier(column)} IS DISTINCT FROM ${value === null ? 'NULL' : quoteLiteral(value)}`,
  );
  const partial = fenced.rows ? '' : fenced.columns.join(', ');
  const trigger = (
    kind: (typeof KINDS)[number],
    moment: string,
    each: string,
    when: string,
    name: TableName = fenced.table,
  ): string[] => {
    const table = quoteTable(name);
    const label = quoteIdentifier(triggerName(kind));
    const args = [
      fence.capability,
      fence.owner,
      kind === 'update' || kind === 'insert' ? partial : '',
    ]
      .map((one) => quoteLiteral(one))
      .join(', ');
    return [
      `CREATE OR REPLACE TRIGGER ${label} ${moment} ON ${table} FOR EACH ${each} WHEN (${when}) EXECUTE FUNCTION banyan.fence(${args})`,
      `ALTER TABLE ${table} ENABLE ALWAYS TRIGGER ${label}`,
    ];
  };
  const any = (conditions: readonly string[], ...rows: readonly ('OLD' | 'NEW')[]): string => {
    if (conditions.length === 0) return 'false';
    const ours = rows.flatMap((row) => belongsSql(fenced.where, row) ?? []);
    return [
      `${outsider} AND (${conditions.join(' OR ')})`,
      ...(ours.length > 0 ? [`(${ours.join(' OR ')})`] : []),
    ].join(' AND ');
  };
  return [
    ...trigger('insert', 'AFTER INSERT', 'ROW', any(fenced.rows ? ['true'] : filled, 'NEW')),
    ...trigger('update', 'AFTER UPDATE', 'ROW', any(changed, 'OLD', 'NEW')),
    ...trigger('delete', 'AFTER DELETE', 'ROW', any(fenced.rows ? ['true'] : [], 'OLD')),
    ...[fenced.table, ...partitions].flatMap((name) =>
      trigger('truncate', 'BEFORE TRUNCATE', 'STATEMENT', any(fenced.rows ? ['true'] : []), name),
    ),
  ];
}

/** Statements that remove every trace of the fence from a table. */
export function unfenceStatements(table: TableName): string[] {
  return KINDS.map(
    (kind) =>
      `DROP TRIGGER IF EXISTS ${quoteIdentifier(triggerName(kind))} ON ${quoteTable(table)}`,
  );
}

function triggerName(kind: (typeof KINDS)[number]): string {
  return `banyan_fence_${kind}`;
}
