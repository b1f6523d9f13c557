// Folds a run of changes into one final operation per target row, so that many source transactions
// become a few multi-row statements. Source order survives where it matters: per row the last word
// wins, and a row that was deleted and inserted again is really deleted first.
import { formatTable, type TableName } from '../../core/postgres/identifiers.ts';
import type { Relation, RowChange, Tuple, Value } from './change.ts';
import { LensError } from './lens.ts';
import {
  MappingError,
  targetColumns,
  type ColumnGroup,
  type ColumnPair,
  type Constant,
  type Edge,
} from './mapping.ts';
import { allows } from '../../control/domain/row-filter.ts';
import type { RowFilter } from '../../control/domain/mapped-table.ts';

/** All that a flow may write in one target table: the union of the edges that lead there. */
export interface TargetTable {
  readonly name: TableName;
  readonly key: readonly { readonly name: string; readonly type: string }[];
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly constants: readonly Constant[];
  /** Indexes of the columns that a driver feeds or that an insert needs: with all of them known a row can be inserted. */
  readonly required: readonly number[];
  /** Indexes of the columns of foreign keys that may be null for a while. */
  readonly references: readonly number[];
  /** A source table that drives the rows, and one that is read again when a row cannot be completed. */
  readonly driven: boolean;
  /** Only these of its rows are ours to write. */
  readonly guard: RowFilter;
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
  values: Value[];
  /** Source table of the last change, for the list of rows to read again. */
  source: TableName;
}

interface BoundEdge {
  readonly edge: Edge;
  readonly target: TargetTable;
  readonly rows: Map<string, RowOperation>;
  /** For each column that the edge writes, its index among the target's columns. */
  readonly places: readonly number[];
}

/** A description of a source table, and the edges that start there. */
interface BoundRelation {
  readonly relation: Relation;
  readonly label: string;
  readonly bindings: readonly Binding[];
}

const KEY_SEPARATOR = '\u0000';

export function keyText(key: readonly string[]): string {
  return key.length === 1 ? (key[0] ?? '') : key.join(KEY_SEPARATOR);
}

/** The target tables of a set of edges. */
export function targetTables(edges: readonly Edge[]): TargetTable[] {
  const byName = new Map<string, Edge[]>();
  for (const edge of edges) {
    const label = formatTable(edge.target);
    byName.set(label, [...(byName.get(label) ?? []), edge]);
  }
  return [...byName.values()].map((group) => {
    const columns: { name: string; type: string }[] = [];
    const required: number[] = [];
    const references: number[] = [];
    for (const edge of group)
      for (const column of targetColumns(edge)) {
        if (edge.driver || column.needed) required.push(columns.length);
        if (column.reference) references.push(columns.length);
        columns.push({ name: column.target, type: column.type });
      }
    const first = group[0] as Edge;
    return {
      name: first.target,
      key: first.key.map((pair) => ({ name: pair.target, type: pair.type })),
      columns,
      constants: group.flatMap((edge) => edge.constants),
      required,
      references,
      driven: group.some((edge) => edge.driver),
      guard: first.guard,
    };
  });
}

export class Coalescer {
  readonly #bySource = new Map<string, BoundEdge[]>();
  readonly #bound = new WeakMap<Relation, BoundRelation>();
  /** Runs of changes of one table are the rule. */
  #latest: BoundRelation | undefined;
  readonly #isOwner: boolean;
  readonly #rows = new Map<TargetTable, Map<string, RowOperation>>();
  #count = 0;

  /** `targets` in foreign-key order, parents first. Rows that come without a column can be read again at an owner only. */
  constructor(edges: readonly Edge[], targets: readonly TargetTable[], isOwner = true) {
    this.#isOwner = isOwner;
    for (const target of targets) this.#rows.set(target, new Map());
    for (const edge of edges) {
      const target = targets.find((one) => formatTable(one.name) === formatTable(edge.target));
      const rows = target && this.#rows.get(target);
      if (!target || !rows) throw new MappingError(`no target table ${formatTable(edge.target)}`);
      const places = targetColumns(edge).map((column) =>
        target.columns.findIndex((one) => one.name === column.target),
      );
      const label = formatTable(edge.source);
      this.#bySource.set(label, [
        ...(this.#bySource.get(label) ?? []),
        { edge, target, rows, places },
      ]);
    }
  }

  /** Number of changes folded in since the last `take`. */
  get size(): number {
    return this.#count;
  }

  /** True when the flow writes something for changes of this table. */
  concerns(relation: Relation): boolean {
    return this.#boundOf(relation).bindings.length > 0;
  }

  /** The table of a change, as `schema.table`. */
  labelOf(relation: Relation): string {
    return this.#boundOf(relation).label;
  }

  /** The change's key in the source table's own text, of the old row or the new one. */
  keyOf(change: RowChange, image: 'old' | 'new'): string | undefined {
    const binding = this.#boundOf(change.relation).bindings[0];
    if (!binding) return undefined;
    const tuple = image === 'new' && change.kind !== 'delete' ? change.after : beforeOf(change);
    return tuple && keyText(binding.keyOf(tuple));
  }

  /** The keys of the rows that a change concerns, as the target writes them: two where it moved one. */
  rowsOf(change: RowChange): (readonly string[])[] {
    const binding = this.#boundOf(change.relation).bindings[0];
    const before = beforeOf(change);
    const images = [before, change.kind === 'delete' ? undefined : change.after];
    const keys = images.flatMap((tuple) => (binding && tuple ? [binding.keyOf(tuple)] : []));
    return keys.length === 2 && keyText(keys[0] ?? []) === keyText(keys[1] ?? [])
      ? keys.slice(1)
      : keys;
  }

  add(change: RowChange): void {
    this.#count += 1;
    for (const binding of this.#boundOf(change.relation).bindings) {
      if (change.kind === 'delete') {
        binding.remove(change.before);
        continue;
      }
      const before = change.kind === 'update' ? change.before : undefined;
      const moved =
        before !== undefined &&
        keyText(binding.keyOf(before)) !== keyText(binding.keyOf(change.after));
      if (moved) binding.remove(before);
      const belongs = binding.belongs(change.after);
      if (belongs === undefined) binding.unknown(change.after);
      else if (belongs) binding.put(change.after, moved, change.kind === 'insert');
      else if (change.kind === 'update') binding.remove(change.after);
    }
  }

  /** Hands over what has been folded, in the order of the targets, and starts anew. */
  take(): Map<TargetTable, RowOperation[]> {
    const taken = new Map<TargetTable, RowOperation[]>();
    for (const [target, rows] of this.#rows) {
      if (rows.size > 0) taken.set(target, [...rows.values()]);
      rows.clear();
    }
    this.#count = 0;
    return taken;
  }

  #boundOf(relation: Relation): BoundRelation {
    if (this.#latest?.relation === relation) return this.#latest;
    let bound = this.#bound.get(relation);
    if (!bound) {
      const label = formatTable(relation);
      const edges = this.#bySource.get(label) ?? [];
      bound = {
        relation,
        label,
        bindings: edges.map((edge) => new Binding(edge, relation, this.#isOwner)),
      };
      this.#bound.set(relation, bound);
    }
    this.#latest = bound;
    return bound;
  }
}

function beforeOf(change: RowChange): Tuple | undefined {
  return change.kind === 'insert' ? undefined : change.before;
}

/** An edge bound to the column order of one description of its source table. */
class Binding {
  readonly #bound: BoundEdge;
  readonly #key: readonly { at: number; pair: ColumnPair }[];
  readonly #columns: readonly { at: number; pair: ColumnPair; place: number }[];
  readonly #groups: readonly { at: number[]; group: ColumnGroup; places: number[] }[];
  readonly #filter: readonly { at: number; allows: (value: string | null) => boolean }[];

  /** Some column was called otherwise when the change was made: the row must be read again. */
  readonly #lacks: boolean;

  constructor(bound: BoundEdge, relation: Relation, mayLack: boolean) {
    const at = (name: string, isKey = false): number => {
      const index = relation.columns.findIndex((column) => column.name === name);
      if (index < 0 && (isKey || !mayLack))
        throw new MappingError(
          `column ${name}, which the mapping needs, is gone from ${formatTable(relation)}`,
        );
      return index;
    };
    const { key, columns, groups, filter } = bound.edge;
    this.#bound = bound;
    this.#key = key.map((pair) => ({ at: at(pair.source, true), pair }));
    this.#columns = columns.map((pair, index) => ({
      at: at(pair.source),
      pair,
      place: bound.places[index] ?? -1,
    }));
    let next = columns.length;
    this.#groups = groups.map((group) => ({
      at: group.sources.map((name) => at(name)),
      group,
      places: group.targets.map(() => bound.places[next++] ?? -1),
    }));
    this.#filter = filter.map(({ column, values }) => ({ at: at(column), allows: allows(values) }));
    this.#lacks = [
      ...this.#columns,
      ...this.#groups.flatMap((one) => one.at.map((index) => ({ at: index }))),
    ].some((column) => column.at < 0);
  }

  /** Whether a row is one of those that the edge carries; undefined where what decides was not sent. */
  belongs(tuple: Tuple): boolean | undefined {
    let known: boolean | undefined = true;
    for (const { at, allows: isAllowed } of this.#filter) {
      const value = tuple[at];
      if (value === undefined) known = undefined;
      else if (!isAllowed(value)) return false;
    }
    return known;
  }

  keyOf(tuple: Tuple): string[] {
    const key = new Array<string>(this.#key.length);
    for (let index = 0; index < this.#key.length; index++) {
      const { at, pair } = this.#key[index] as { at: number; pair: ColumnPair };
      const value = tuple[at];
      if (value === null || value === undefined)
        throw new MappingError(
          `a change of ${formatTable(this.#bound.edge.source)} came without its key column ${pair.source}: check its replica identity`,
        );
      key[index] = pair.map(value);
    }
    return key;
  }

  put(tuple: Tuple, moved: boolean, inserted: boolean): void {
    const { edge } = this.#bound;
    const row = this.#row(tuple, (inserted || moved) && edge.driver);
    for (const { at, pair, place } of this.#columns) {
      const value = tuple[at];
      // Not sent means unchanged: an earlier value of this batch stands.
      if (value !== undefined)
        row.values[place] = value === null ? null : this.#map(pair, value, row.key);
      else if (moved) row.partial = true;
    }
    for (const { at, group, places } of this.#groups)
      this.#putGroup(row, tuple, at, group, places, moved);
    if (this.#lacks) row.partial = true;
    row.source = edge.source;
    if (!edge.driver) return;
    if (edge.optional && this.#isEmpty(row)) {
      this.#empty(row);
      return;
    }
    if (row.exists === 'gone') row.replaced = true;
    row.exists = 'put';
    row.optional = false;
  }

  /** That what the row has become is to be read at the source. */
  unknown(tuple: Tuple): void {
    const row = this.#row(tuple);
    row.partial = true;
    row.source = this.#bound.edge.source;
  }

  remove(tuple: Tuple): void {
    const { edge } = this.#bound;
    const row = this.#row(tuple);
    if (edge.driver) this.#gone(row);
    else
      for (const place of this.#bound.places)
        row.values[place] = row.exists === 'gone' ? undefined : null;
    row.source = edge.source;
  }

  #gone(row: RowOperation): void {
    row.exists = 'gone';
    row.fresh = false;
    row.replaced = false;
    row.partial = false;
    row.optional = false;
    row.values = new Array<Value>(this.#bound.target.columns.length);
  }

  /** Values that are mapped together; where some of them were not sent, the row must be read again. */
  #putGroup(
    row: RowOperation,
    tuple: Tuple,
    at: readonly number[],
    group: ColumnGroup,
    places: readonly number[],
    moved: boolean,
  ): void {
    const values = at.map((index) => tuple[index]);
    if (values.includes(undefined)) {
      if (moved || values.some((value) => value !== undefined)) row.partial = true;
      return;
    }
    try {
      const mapped = group.map(values as (string | null)[]);
      for (const [index, place] of places.entries()) row.values[place] = mapped[index] ?? null;
    } catch (error) {
      throw this.#located(error, group.sources.join(', '), row.key);
    }
  }

  /** Whether nothing that is known of a row is a value. */
  #isEmpty(row: RowOperation): boolean {
    return this.#bound.places.every((place) => typeof row.values[place] !== 'string');
  }

  /** A part without values: it is not put in, and goes where it may not be empty. */
  #empty(row: RowOperation): void {
    const { edge } = this.#bound;
    const isNeeded = targetColumns(edge).some((column) => column.needed);
    if (isNeeded || row.exists === 'gone') this.#gone(row);
    else if (row.exists === 'put') row.exists = 'touch';
    row.optional = true;
  }

  /** The operation on the row that a tuple leads to; a new one where there is none yet. */
  #row(tuple: Tuple, fresh = false): RowOperation {
    const key = this.keyOf(tuple);
    const { edge, target, rows } = this.#bound;
    const text = keyText(key);
    const known = rows.get(text);
    if (known) return known;
    const row: RowOperation = {
      key,
      exists: 'touch',
      replaced: false,
      partial: false,
      optional: false,
      fresh,
      values: new Array<Value>(target.columns.length),
      source: edge.source,
    };
    rows.set(text, row);
    return row;
  }

  #map(pair: ColumnPair, value: string, key: readonly string[]): string {
    try {
      return pair.map(value);
    } catch (error) {
      throw this.#located(error, pair.source, key);
    }
  }

  /** The same error, which says where it was. */
  #located(error: unknown, columns: string, key: readonly string[]): unknown {
    if (error instanceof LensError)
      error.message = `${formatTable(this.#bound.edge.source)}.${columns} of row (${key.join(', ')}): ${error.message}`;
    return error;
  }
}
