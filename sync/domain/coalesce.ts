// Folds a run of changes into one final operation per target row, so that many source transactions
// become a few multi-row statements. Source order survives where it matters: per row the last word
// wins, and a row that was deleted and inserted again is really deleted first.
import { formatTable } from '../../core/postgres/identifiers.ts';
import { Binding, type BoundEdge } from './binding.ts';
import type { Relation, RowChange, Tuple } from './change.ts';
import { MappingError, targetColumns, type Edge } from './mapping.ts';
import { keyText, type RowOperation, type TargetTable } from './target-table.ts';

/** A description of a source table, and the edges that start there. */
interface BoundRelation {
  readonly relation: Relation;
  readonly label: string;
  readonly bindings: readonly Binding[];
}

export class Coalescer {
  readonly #bySource = new Map<string, BoundEdge[]>();
  readonly #bound = new WeakMap<Relation, BoundRelation>();
  /** Runs of changes of one table are the rule. */
  #latest: BoundRelation | undefined;
  readonly #isOwner: boolean;
  readonly #rows = new Map<TargetTable, Map<string, RowOperation>>();
  /** Targets of which rows that they have are to be written. */
  readonly #standing = new Set<TargetTable>();
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
        { edge, target, rows, places, takes: targets.filter((one) => takes(target, one)) },
      ]);
    }
  }

  /** Number of changes folded in since the last `take`. */
  get size(): number {
    return this.#count;
  }

  /**
   * Whether a change is not to be folded with what came since the last `take`, because what only the target
   * knows of a row would be lost: it gives a row a key that another one has lost, or a row goes whose place
   * others have left, and which would take them along if it went first.
   */
  tangles(change: RowChange): boolean {
    if (change.kind === 'insert') return false;
    const before = change.kind === 'update' ? change.before : undefined;
    for (const binding of this.#boundOf(change.relation).bindings) {
      if (before && change.kind === 'update' && binding.tangles(before, change.after)) return true;
      if (binding.takes.some((one) => this.#standing.has(one)) && binding.removes(change))
        return true;
    }
    return false;
  }

  /**
   * Of what the other side wrote, where that gave a row of a guest its key: the row, which shows with
   * which values of ours it begins.
   */
  begun(change: RowChange): RowChange | undefined {
    if (change.kind === 'insert') return change;
    if (change.kind === 'delete' || this.rowsOf(change).length < 2) return undefined;
    return { ...change, before: undefined };
  }

  /** The row that is not there any more after an update, by its key: it moved, or does not belong any more. */
  leaves(change: RowChange): Tuple | undefined {
    if (change.kind !== 'update') return undefined;
    if (change.before && this.rowsOf(change).length > 1) return change.before;
    const { bindings } = this.#boundOf(change.relation);
    return bindings.some((one) => one.belongs(change.after) === false) ? change.after : undefined;
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
        if (binding.mayRemove) binding.remove(change.before);
        continue;
      }
      const before = change.kind === 'update' ? change.before : undefined;
      const moved =
        before !== undefined &&
        keyText(binding.keyOf(before)) !== keyText(binding.keyOf(change.after));
      const belongs = binding.belongs(change.after);
      if (moved && belongs !== true) binding.remove(before);
      else if (moved) binding.move(before, change.after);
      // A guest's row is at the target exactly when it belongs.
      if (belongs === undefined && binding.drives) binding.unknown(change.after);
      else if (belongs ?? true) {
        const row = binding.put(change.after, moved, change.kind === 'insert');
        if (stands(row)) this.#standing.add(binding.target);
      } else if (change.kind === 'update' && binding.mayRemove) binding.remove(change.after);
    }
  }

  /** Hands over what has been folded, in the order of the targets, and starts anew. */
  take(): Map<TargetTable, RowOperation[]> {
    const taken = new Map<TargetTable, RowOperation[]>();
    for (const [target, rows] of this.#rows) {
      if (rows.size > 0) taken.set(target, [...rows.values()]);
      rows.clear();
    }
    this.#standing.clear();
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

function takes(target: TargetTable, one: TargetTable): boolean {
  return target.taken.apart.includes(formatTable(one.name));
}

/** Whether the target has a row that is to be written, and keeps it. */
function stands({ exists, fresh, replaced }: RowOperation): boolean {
  return exists !== 'gone' && !fresh && !replaced;
}

function beforeOf(change: RowChange): Tuple | undefined {
  return change.kind === 'insert' ? undefined : change.before;
}
