// The fence in SQL: triggers that refuse whatever a side does not own, whoever writes it and however.
//
// AFTER … FOR EACH ROW, so that nothing later can change the row behind its back; WHEN compares
// values, not the SET list, because ORMs save whole rows (bytes, where a type has no equality); ENABLE ALWAYS, so that replica role does
// not slip by; the exemption is by session_user, so that cascades of the applier pass and nobody
// else's SET ROLE does. Replaced rather than dropped: that lock never waits for readers.
//
// An insert that violates a constraint is refused by that (23505, 23503, 23514) before an AFTER trigger
// can speak. Nothing earlier could: before the row, an INSERT … ON CONFLICT DO UPDATE of a staying column,
// which must pass, looks like any other insert; before the statement, so does one that touches no row.
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
type Kind = (typeof KINDS)[number];

/** What PostgreSQL calls a trigger's moment, event and level (pg_trigger.tgtype). */
const TYPES: Readonly<Record<Kind, number>> = {
  // Of the row, with the event's bit.
  ...{ insert: 1 | 4, update: 1 | 16, delete: 1 | 8 },
  // Before, of the statement: the one that each partition needs for itself.
  truncate: 2 | 32,
};

/** The triggers of a table that is closed. */
export const FENCE_TRIGGERS = KINDS.map((kind) => ({ name: triggerName(kind), type: TYPES[kind] }));

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
  const trigger = (kind: Kind, moment: string, when: string): string[] =>
    triggerStatements(fence, fenced.table, { kind, moment: `${moment} ROW`, when }, partial);
  const any = (conditions: readonly string[], ...rows: readonly ('OLD' | 'NEW')[]): string => {
    if (conditions.length === 0) return 'false';
    const ours = rows.flatMap((row) => belongsSql(fenced.where, row) ?? []);
    return [
      `${outsiders(fence)} AND (${conditions.join(' OR ')})`,
      ...(ours.length > 0 ? [`(${ours.join(' OR ')})`] : []),
    ].join(' AND ');
  };
  return [
    ...trigger('insert', 'AFTER INSERT', any(fenced.rows ? ['true'] : filled, 'NEW')),
    ...trigger('update', 'AFTER UPDATE', any(changed, 'OLD', 'NEW')),
    ...trigger('delete', 'AFTER DELETE', any(fenced.rows ? ['true'] : [], 'OLD')),
    ...[fenced.table, ...partitions].flatMap((name) => truncateStatements(fence, fenced, name)),
  ];
}

/** Statements for the one trigger that a partition does not inherit. */
export function truncateStatements(
  fence: Fence,
  { rows }: Pick<FencedTable, 'rows'>,
  table: TableName,
): string[] {
  const when = rows ? outsiders(fence) : 'false';
  const moment = 'BEFORE TRUNCATE STATEMENT';
  return triggerStatements(fence, table, { kind: 'truncate', moment, when }, '');
}

interface Trigger {
  readonly kind: Kind;
  /** `AFTER INSERT ROW`: when, and for each row or statement. */
  readonly moment: string;
  readonly when: string;
}

function triggerStatements(
  fence: Fence,
  name: TableName,
  { kind, moment, when }: Trigger,
  partial: string,
): string[] {
  const table = quoteTable(name);
  const label = quoteIdentifier(triggerName(kind));
  const [before, event, each] = moment.split(' ');
  const args = [
    fence.capability,
    fence.owner,
    kind === 'update' || kind === 'insert' ? partial : '',
  ].map((one) => quoteLiteral(one));
  return [
    `CREATE OR REPLACE TRIGGER ${label} ${before} ${event} ON ${table} FOR EACH ${each} WHEN (${when}) EXECUTE FUNCTION banyan.fence(${args.join(', ')})`,
    `ALTER TABLE ${table} ENABLE ALWAYS TRIGGER ${label}`,
  ];
}

function outsiders({ applier }: Fence): string {
  return `session_user <> ${quoteLiteral(applier)}`;
}

/** Statements that remove every trace of the fence from a table. */
export function unfenceStatements(table: TableName): string[] {
  return KINDS.map(
    (kind) =>
      `DROP TRIGGER IF EXISTS ${quoteIdentifier(triggerName(kind))} ON ${quoteTable(table)}`,
  );
}

function triggerName(kind: Kind): string {
  return `banyan_fence_${kind}`;
}
