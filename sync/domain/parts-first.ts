// In which order the changes of a transaction of the service are judged. Of a row that goes, its parts go
// first, though a cascade names them last: what the owner has made of a part meanwhile is a reason for the
// row to stay, and once the row is gone nobody would see it.
import { formatTable } from '../../core/postgres/identifiers.ts';
import type { Change, RowChange, Tuple } from './change.ts';
import type { Edge } from './mapping.ts';
import { keyText } from './target-table.ts';

/** The indexes from `first` on, each once; undefined where they stay as they are. */
export function partsFirst(
  changes: readonly Change[],
  first: number,
  edges: readonly Edge[],
): readonly number[] | undefined {
  const roles = rolesOf(edges);
  if (roles.size === 0) return undefined;
  /** By row, the delete of its driver that nothing else of the row has followed but its parts' deletes. */
  const going = new Map<string, number>();
  const ahead = new Map<number, number[]>();
  const moved = new Set<number>();
  for (let index = first; index < changes.length; index++) {
    const change = changes[index] as Change;
    if (change.kind === 'message' || change.kind === 'truncate') continue;
    for (const edge of roles.get(formatTable(change.relation)) ?? []) {
      const row = rowOf(edge, change);
      if (row === undefined) continue;
      const driver = going.get(row);
      if (change.kind !== 'delete') going.delete(row);
      else if (edge.driver) going.set(row, index);
      else if (driver !== undefined) {
        ahead.set(driver, [...(ahead.get(driver) ?? []), index]);
        moved.add(index);
      }
    }
  }
  if (moved.size === 0) return undefined;
  const order: number[] = [];
  for (let index = first; index < changes.length; index++)
    if (!moved.has(index)) order.push(...(ahead.get(index) ?? []), index);
  return order;
}

/** The edges of rows that have parts, by source table. */
function rolesOf(edges: readonly Edge[]): ReadonlyMap<string, readonly Edge[]> {
  const targets = new Set(
    edges.filter((edge) => !edge.driver).map(({ target }) => formatTable(target)),
  );
  const roles = new Map<string, Edge[]>();
  for (const edge of edges) {
    if (!targets.has(formatTable(edge.target))) continue;
    const label = formatTable(edge.source);
    roles.set(label, [...(roles.get(label) ?? []), edge]);
  }
  return roles;
}

/** The row of the target that a change is about in the end; undefined where that was not sent. */
function rowOf(edge: Edge, change: RowChange): string | undefined {
  const tuple: Tuple = change.kind === 'delete' ? change.before : change.after;
  const key: string[] = [];
  for (const pair of edge.key) {
    const at = change.relation.columns.findIndex(({ name }) => name === pair.source);
    const value = tuple[at];
    if (typeof value !== 'string') return undefined;
    key.push(pair.map(value));
  }
  return `${formatTable(edge.target)} ${keyText(key)}`;
}
