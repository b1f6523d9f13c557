// What a mapping is to a flow: edges, source table → target table over a shared key. A split is several
// edges from one source, a merge several edges into one target, of which the driver decides whether
// the target row exists.
import type { RowFilter } from '../../control/domain/mapped-table.ts';
import type { Lens, WideMap } from '../../control/lenses.ts';
import type { LiveSchema } from '../../core/postgres/catalog.ts';
import { formatTable, parseTableName, type TableName } from '../../core/postgres/identifiers.ts';
import type { References, TextMap } from './lens.ts';

/** What a flow's source owns: all that moves, or only what stays. */
export type Owning = 'owner' | 'guest';

/** The same, and whether both sides write what moves: then the one that owns it judges (verdict.ts). */
export type Mode = Owning | `sharing ${Owning}`;

/** Whether what the source has is what is to be. */
export function isOwners(mode: Mode): boolean {
  return mode === 'owner' || mode === 'sharing owner';
}

/** A column of a target that an edge writes. */
export interface TargetColumn {
  readonly target: string;
  /** Its type, for casts. */
  readonly type: string;
  /** A row cannot be inserted without it: not null, and no default. */
  readonly needed: boolean;
  /** Part of a foreign key, and may be null until what it points to is there. */
  readonly reference: boolean;
  /** Mapped together with others. */
  readonly wide: boolean;
  /** What it holds where the part that feeds it has no row; of a part's own column, where that says as little. */
  readonly absent: string | null;
  /** Can be inserted, and never updated. */
  readonly fixed?: boolean;
  /** Its equality does not tell whether two values are the same. */
  readonly unequal?: boolean;
}

export interface ColumnPair extends TargetColumn {
  readonly source: string;
  readonly sourceType: string;
  readonly map: TextMap;
  /** What the map was made from, seen from the monolith; none for a plain copy. */
  readonly lens?: Lens | undefined;
}

/** Columns that are mapped together. */
export interface ColumnGroup {
  readonly sources: readonly string[];
  readonly targets: readonly TargetColumn[];
  readonly map: WideMap;
}

export interface Constant {
  readonly column: string;
  readonly type: string;
  readonly value: string | null;
}

export interface Edge {
  readonly source: TableName;
  readonly target: TableName;
  readonly key: readonly ColumnPair[];
  readonly columns: readonly ColumnPair[];
  readonly groups: readonly ColumnGroup[];
  /** Set in rows that this edge inserts, left alone in rows that exist. */
  readonly constants: readonly Constant[];
  /** The target row exists exactly when the source row does. */
  readonly driver: boolean;
  /** Into a later table of a split: a row without values says as much as none. */
  readonly part: boolean;
  /** Such a row need not exist: the other side may lack it. */
  readonly optional: boolean;
  /** Only these rows of the source belong; with the types of the columns that say so. */
  readonly filter: readonly (RowFilter[number] & { readonly type: string })[];
  /** Only these rows of the target are ours to write. */
  readonly guard: RowFilter;
  /** What is written there is written as a replica does, past triggers and foreign keys. */
  readonly skipsTriggers: boolean;
}

/** The target's key columns of an edge, with their types. */
export function targetKey(edge: Edge): { name: string; type: string }[] {
  return edge.key.map((pair) => ({ name: pair.target, type: pair.type }));
}

/** The columns that an edge writes, in the order of the values that it gives. */
export function targetColumns(edge: Edge): TargetColumn[] {
  return [...edge.columns, ...edge.groups.flatMap((group) => group.targets)];
}

/** The columns of the source that an edge reads. */
export function sourceColumns(edge: Edge): string[] {
  return [
    ...[...edge.key, ...edge.columns].map((pair) => pair.source),
    ...edge.groups.flatMap((group) => group.sources),
    ...edge.filter.map(({ column }) => column),
  ];
}

/** A column that the mapping names and the database lacks; preflight reports them, a plan refuses. */
export class MappingError extends Error {
  override readonly name = 'MappingError';
  /** How to bring both together, where that is known. */
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

export interface Schemas {
  readonly monolith: LiveSchema;
  readonly service: LiveSchema;
  /** What the tables of references say, on either side. */
  readonly references: References;
}

/**
 * Orders tables so that each comes after those its foreign keys point to. Tables in a circle keep
 * the order they were given in.
 */
export function parentsFirst(tables: readonly TableName[], schema: LiveSchema): TableName[] {
  const names = [...new Map(tables.map((table) => [formatTable(table), table])).values()];
  const wanted = new Set(names.map(formatTable));
  const done = new Set<string>();
  const ordered: TableName[] = [];
  const visit = (table: TableName, above: ReadonlySet<string>): void => {
    const label = formatTable(table);
    if (done.has(label) || above.has(label)) return;
    for (const parent of schema.get(label)?.references ?? [])
      if (wanted.has(parent)) visit(parseTableName(parent), new Set([...above, label]));
    if (done.has(label)) return;
    done.add(label);
    ordered.push(table);
  };
  for (const table of names) visit(table, new Set());
  return ordered;
}
