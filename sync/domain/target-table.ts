// What a flow may write in one target table, and what it has decided to write in one of its rows.
import type { RowFilter } from '../../control/domain/mapped-table.ts';
import { formatTable, type TableName } from '../../core/postgres/identifiers.ts';
import type { Value } from './change.ts';
import { targetColumns, type Constant, type Edge } from './mapping.ts';
import { NOTHING_TAKEN, type Taken } from './taken.ts';

/** All that a flow may write in one target table: the union of the edges that lead there. */
export interface TargetTable {
  readonly name: TableName;
  readonly key: readonly {
    readonly name: string;
    readonly type: string;
    /** Keys that read otherwise may be equal. */
    readonly unequal?: boolean;
  }[];
  readonly columns: readonly {
    readonly name: string;
    readonly type: string;
    /** Mapped together with others. */
    readonly wide: boolean;
    /** What it holds where the part that feeds it has no row. */
    readonly absent: string | null;
    /** Its equality does not tell whether two values are the same. */
    readonly unequal?: boolean;
  }[];
  readonly constants: readonly Constant[];
  /** Indexes of the columns that a driver feeds or that an insert needs: with all of them known a row can be inserted. */
  readonly required: readonly number[];
  /** Indexes of the columns of foreign keys that may be null for a while. */
  readonly references: readonly number[];
  /** A source table that drives the rows, and one that is read again when a row cannot be completed. */
  readonly driven: boolean;
  /** The target alone knows something of its rows. */
  readonly keeps: boolean;
  /** Rows of ours that go or change by themselves when one of its goes. */
  readonly taken: Taken;
  /** Only these of its rows are ours to write. */
  readonly guard: RowFilter;
  readonly skipsTriggers: boolean;
}

export interface RowOperation {
  readonly key: readonly string[];
  /** put: the row exists with these values; touch: only if it exists; gone: it does not, and values are of parts that wait for it. */
  exists: 'put' | 'touch' | 'gone';
  /** Was deleted earlier in the batch: must be deleted before it is put. */
  replaced: boolean;
  /** Not all of its values are known, and they will not come by themselves: it must be read again. */
  partial: boolean;
  /** A part that need not be there: where it is not, there is nothing to write. */
  optional: boolean;
  /** The source inserted it, or gave it this key, and nothing came before: the target does not have it. */
  fresh: boolean;
  /** The key that it has at the target, where the source gave it this one since. */
  from: readonly string[] | undefined;
  values: Value[];
  /** Source table of the last change, for the list of rows to read again. */
  source: TableName;
}

const KEY_SEPARATOR = '\u0000';

export function keyText(key: readonly string[]): string {
  return key.length === 1 ? (key[0] ?? '') : key.join(KEY_SEPARATOR);
}

/**
 * The target tables of a set of edges; `keeping` are those that have columns which no edge names, `taking`
 * says which take rows of others along.
 */
export function targetTables(
  edges: readonly Edge[],
  keeping: ReadonlySet<string> = new Set(),
  taking: ReadonlyMap<string, Taken> = new Map(),
): TargetTable[] {
  const byName = new Map<string, Edge[]>();
  for (const edge of edges) {
    const label = formatTable(edge.target);
    byName.set(label, [...(byName.get(label) ?? []), edge]);
  }
  return [...byName].map(([label, group]) => {
    const columns: TargetTable['columns'][number][] = [];
    const required: number[] = [];
    const references: number[] = [];
    for (const edge of group)
      for (const column of targetColumns(edge)) {
        if (edge.driver || column.needed) required.push(columns.length);
        if (column.reference) references.push(columns.length);
        const { target: name, type, wide, absent, unequal = false } = column;
        columns.push({ name, type, wide, absent, unequal });
      }
    const first = group[0] as Edge;
    return {
      name: first.target,
      key: first.key.map(({ target: name, type, unequal = false }) => ({ name, type, unequal })),
      columns,
      constants: group.flatMap((edge) => edge.constants),
      required,
      references,
      driven: group.some((edge) => edge.driver),
      keeps: keeping.has(label) || group.some((edge) => edge.constants.length > 0),
      taken: taking.get(label) ?? NOTHING_TAKEN,
      guard: first.guard,
      skipsTriggers: first.skipsTriggers,
    };
  });
}
