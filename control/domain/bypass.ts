// Triggers that note who changes what moves, and refuse nothing: the fence's conditions (fence.ts), so
// that whoever is noted is who the fence would refuse. Put on the owner's tables for the length of a
// rehearsal's hold; taken away by a condition that never holds, a lock that does not wait for readers.
import {
  quoteIdentifier,
  quoteLiteral,
  quoteTable,
  type TableName,
} from '../../core/postgres/identifiers.ts';
import type { FencedTable } from './fence.ts';
import { belongsSql } from './row-filter.ts';

export interface NotedTable extends Pick<FencedTable, 'table' | 'columns' | 'where'> {
  /** Columns whose type has no equality operator. */
  readonly unequal: ReadonlySet<string>;
  /** Need a trigger of their own against truncates. */
  readonly partitions: readonly TableName[];
}

const KINDS = ['insert', 'update', 'delete', 'truncate'] as const;
type Kind = (typeof KINDS)[number];

/** Statements after which whoever but the applier changes what moves in the table is noted. */
export function noteStatements(capability: string, applier: string, noted: NotedTable): string[] {
  const outsider = `session_user <> ${quoteLiteral(applier)}`;
  const changed = noted.columns.map((name) => {
    const column = quoteIdentifier(name);
    return noted.unequal.has(name)
      ? `pg_catalog.record_image_ne(ROW(OLD.${column}), ROW(NEW.${column}))`
      : `OLD.${column} IS DISTINCT FROM NEW.${column}`;
  });
  const when = (condition: string | undefined, ...rows: readonly ('OLD' | 'NEW')[]): string => {
    const ours = rows.flatMap((row) => belongsSql(noted.where, row) ?? []);
    return [
      outsider,
      ...(condition === undefined ? [] : [`(${condition})`]),
      ...(ours.length > 0 ? [`(${ours.join(' OR ')})`] : []),
    ].join(' AND ');
  };
  return statements(capability, noted, {
    insert: when(undefined, 'NEW'),
    update: changed.length === 0 ? 'false' : when(changed.join(' OR '), 'OLD', 'NEW'),
    delete: when(undefined, 'OLD'),
    truncate: outsider,
  });
}

/** Statements after which nobody is noted. */
export function unnoteStatements(capability: string, noted: NotedTable): string[] {
  const never = 'false';
  return statements(capability, noted, {
    ...{ insert: never, update: never, delete: never, truncate: never },
  });
}

/** Statements that remove every trace from a table. */
export function removeNoteStatements(table: TableName): string[] {
  return KINDS.map((kind) => `DROP TRIGGER IF EXISTS ${triggerName(kind)} ON ${quoteTable(table)}`);
}

function statements(
  capability: string,
  { table, partitions }: NotedTable,
  when: Readonly<Record<Kind, string>>,
): string[] {
  const one = (kind: Kind, moment: string, each: string, name = table): string[] => [
    `CREATE OR REPLACE TRIGGER ${triggerName(kind)} ${moment} ON ${quoteTable(name)} FOR EACH ${each} WHEN (${when[kind]}) EXECUTE FUNCTION banyan.note_bypass(${quoteLiteral(capability)})`,
    `ALTER TABLE ${quoteTable(name)} ENABLE ALWAYS TRIGGER ${triggerName(kind)}`,
  ];
  return [
    ...one('insert', 'AFTER INSERT', 'ROW'),
    ...one('update', 'AFTER UPDATE', 'ROW'),
    ...one('delete', 'AFTER DELETE', 'ROW'),
    ...[table, ...partitions].flatMap((name) =>
      one('truncate', 'AFTER TRUNCATE', 'STATEMENT', name),
    ),
  ];
}

function triggerName(kind: Kind): string {
  return `banyan_bypass_${kind}`;
}
