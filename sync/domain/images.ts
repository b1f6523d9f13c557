// A change of the service as the owner's columns would have it: the image before and after, through the
// mapping. A part of a split is columns of a row that another table drives: where the part is missing
// they are NULL, or what the mapping says instead. A change that moved its row is a delete and an insert.
import { formatTable } from '../../core/postgres/identifiers.ts';
import type { Relation, RowChange, Tuple } from './change.ts';
import { LensError } from './lens.ts';
import { MappingError, targetColumns, type ColumnPair, type Edge } from './mapping.ts';

/** Values of the columns that an edge writes, in their order. */
export type Image = readonly (string | null)[];

export interface Asked {
  readonly edge: Edge;
  readonly operation: RowChange['kind'];
  readonly key: readonly string[];
  /** Null where there was, or will be, no row. */
  readonly before: Image | null;
  readonly after: Image | null;
  /** Whether it changes anything that is mapped. */
  readonly changes: boolean;
}

/** Throws MappingError where the old row did not come along, LensError for a value without an image. */
export function askedBy(edge: Edge, change: RowChange): Asked[] {
  const before = change.kind === 'insert' ? undefined : change.before;
  const after = change.kind === 'delete' ? undefined : change.after;
  if (change.kind !== 'insert' && !before) throw withoutOldRow(change.relation);
  const old = before && { key: keyOf(edge, change.relation, before), values: before };
  const now = after && { key: keyOf(edge, change.relation, after), values: after };
  const image = (tuple: Tuple | undefined): Image | null =>
    tuple ? valuesOf(edge, change.relation, tuple) : null;
  if (old && now && old.key.some((value, index) => value !== now.key[index]))
    return [
      askedOf(edge, 'delete', old.key, image(old.values), null),
      askedOf(edge, 'insert', now.key, null, image(now.values)),
    ];
  const key = (now ?? old)?.key ?? [];
  return [askedOf(edge, change.kind, key, image(before), image(after))];
}

function askedOf(
  edge: Edge,
  operation: RowChange['kind'],
  key: Image,
  before: Image | null,
  after: Image | null,
): Asked {
  const nothing = targetColumns(edge).map(({ absent }) => absent);
  const [old, now] = edge.driver ? [before, after] : [before ?? nothing, after ?? nothing];
  return {
    edge,
    operation,
    key: key.map((value) => value ?? ''),
    before: old,
    after: now,
    changes: !old || !now || old.some((value, index) => value !== now[index]),
  };
}

function keyOf(edge: Edge, relation: Relation, tuple: Tuple): Image {
  return edge.key.map((pair) => mapped(pair, relation, tuple));
}

function valuesOf(edge: Edge, relation: Relation, tuple: Tuple): Image {
  return [
    ...edge.columns.map((pair) => mapped(pair, relation, tuple)),
    ...edge.groups.flatMap((group) =>
      located(relation, group.sources.join(', '), () =>
        group.map(group.sources.map((name) => sent(name, relation, tuple))),
      ),
    ),
  ];
}

function mapped(pair: ColumnPair, relation: Relation, tuple: Tuple): string | null {
  const value = sent(pair.source, relation, tuple);
  return value === null ? null : located(relation, pair.source, () => pair.map(value));
}

function sent(name: string, relation: Relation, tuple: Tuple): string | null {
  const index = relation.columns.findIndex((column) => column.name === name);
  const value = tuple[index];
  if (value !== undefined) return value;
  throw index < 0
    ? new MappingError(
        `column ${name}, which the mapping needs, is gone from ${formatTable(relation)}`,
      )
    : withoutOldRow(relation);
}

/** An error of a lens says where it was, and is still of its class. */
function located<T>(relation: Relation, columns: string, map: () => T): T {
  try {
    return map();
  } catch (error) {
    if (error instanceof LensError)
      error.message = `${formatTable(relation)}.${columns}: ${error.message}`;
    throw error;
  }
}

function withoutOldRow(relation: Relation): MappingError {
  return new MappingError(
    `a change of ${formatTable(relation)} came without its whole old row: while both sides write, its replica identity must be full`,
  );
}
