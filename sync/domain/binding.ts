// An edge bound to the column order of one description of its source table: takes a row of the source to
// the operation on the row that it leads to, and folds it into what came before.
import { allows } from '../../control/domain/row-filter.ts';
import { formatTable } from '../../core/postgres/identifiers.ts';
import type { Relation, RowChange, Tuple, Value } from './change.ts';
import { LensError } from './lens.ts';
import {
  MappingError,
  targetColumns,
  type ColumnGroup,
  type ColumnPair,
  type Edge,
} from './mapping.ts';
import { keyText, type RowOperation, type TargetTable } from './target-table.ts';

export interface BoundEdge {
  readonly edge: Edge;
  readonly target: TargetTable;
  readonly rows: Map<string, RowOperation>;
  /** For each column that the edge writes, its index among the target's columns. */
  readonly places: readonly number[];
  /** Targets of which this one takes or changes rows by itself when one of its goes. */
  readonly takes: readonly TargetTable[];
}

export class Binding {
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
    this.#filter = filter.map(({ column, values, type }) => ({
      at: at(column),
      allows: allows(values, type),
    }));
    this.#lacks = [
      ...this.#columns,
      ...this.#groups.flatMap((one) => one.at.map((index) => ({ at: index }))),
    ].some((column) => column.at < 0);
  }

  get drives(): boolean {
    return this.#bound.edge.driver;
  }

  get target(): TargetTable {
    return this.#bound.target;
  }

  get takes(): readonly TargetTable[] {
    return this.#bound.takes;
  }

  /** Whether a row that goes is one of those that the edge carries: a guest's filter cannot tell. */
  get mayRemove(): boolean {
    return this.#bound.edge.driver || this.#filter.length === 0;
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

  /** Whether the target may lose a row by a change that gives none another key. */
  removes(change: RowChange): boolean {
    if (change.kind === 'insert') return false;
    if (change.kind === 'delete' || this.belongs(change.after) !== true) return this.mayRemove;
    // A part without values goes.
    const says = (at: number): boolean => typeof change.after[at] === 'string';
    return this.#bound.edge.optional && !this.#columns.some(({ at }) => says(at));
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

  /** Gives what is to be written of the row. */
  put(tuple: Tuple, moved: boolean, inserted: boolean): RowOperation {
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
    if (!edge.driver) return row;
    if (edge.optional && !this.#says(row)) {
      if (this.#bound.places.every((place) => row.values[place] === null)) this.#empty(row);
      // What was not sent is a long value: the part is there, or has to be read.
      else if (moved || row.exists === 'gone') row.partial = true;
      return row;
    }
    if (row.exists === 'gone') row.replaced = true;
    row.exists = 'put';
    row.optional = false;
    return row;
  }

  /** The row goes on under another key, with all that the target alone knows of it; or comes anew where that key is fixed. */
  move(before: Tuple, after: Tuple): void {
    const { edge } = this.#bound;
    const old = this.#row(before);
    const isNew = old.fresh || old.replaced || edge.key.some(({ fixed }) => fixed === true);
    const from = isNew ? undefined : (old.from ?? old.key);
    this.remove(before);
    if (!edge.driver || edge.optional) return;
    const row = this.#row(after, true);
    row.from = from;
    if (from !== undefined) row.fresh = false;
  }

  /** Whether it gives a row the key of one that goes, and the target alone knows something of either. */
  tangles(before: Tuple, after: Tuple): boolean {
    const { edge, target, rows } = this.#bound;
    if (!target.keeps || !edge.driver || edge.optional) return false;
    if (this.#key.every(({ at }) => before[at] === after[at])) return false;
    return rows.get(keyText(this.keyOf(after)))?.exists === 'gone';
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
        row.values[place] =
          row.exists === 'gone' ? undefined : (this.#bound.target.columns[place]?.absent ?? null);
    row.source = edge.source;
  }

  #gone(row: RowOperation): void {
    row.exists = 'gone';
    row.fresh = false;
    row.replaced = false;
    row.partial = false;
    row.optional = false;
    row.from = undefined;
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

  /** Whether something that is known of a row is a value. */
  #says(row: RowOperation): boolean {
    return this.#bound.places.some((place) => typeof row.values[place] === 'string');
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
      from: undefined,
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
