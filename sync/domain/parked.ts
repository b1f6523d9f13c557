// A change as a dead letter keeps it: by column name, so that it can be applied after the mapping was
// mended and the order of columns is another one; what was not sent stays told from NULL.
import { parseTableName } from '../../core/postgres/identifiers.ts';
import type { Relation, RowChange, Tuple } from './change.ts';

/** Columns to text or null; a column that was not sent is missing. */
type Image = Readonly<Record<string, string | null>>;

export interface StoredChange {
  readonly kind: RowChange['kind'];
  /** Names of all columns, and of those in the key. */
  readonly columns: readonly string[];
  readonly key: readonly string[];
  readonly before?: Image;
  readonly after?: Image;
}

export function storeChange(change: RowChange): StoredChange {
  const { columns } = change.relation;
  const image = (tuple: Tuple): Image =>
    Object.fromEntries(
      columns.flatMap(({ name }, index) => {
        const value = tuple[index];
        return value === undefined ? [] : [[name, value]];
      }),
    );
  const before = change.kind === 'insert' ? undefined : change.before;
  return {
    kind: change.kind,
    columns: columns.map(({ name }) => name),
    key: columns.filter(({ key }) => key).map(({ name }) => name),
    ...(before && { before: image(before) }),
    ...(change.kind !== 'delete' && { after: image(change.after) }),
  };
}

/** The inverse, for the source table of this name. */
export function restoreChange(table: string, stored: StoredChange): RowChange {
  const relation: Relation = {
    ...parseTableName(table),
    columns: stored.columns.map((name) => ({ name, key: stored.key.includes(name) })),
  };
  const tuple = (image: Image | undefined): Tuple => stored.columns.map((name) => image?.[name]);
  switch (stored.kind) {
    case 'insert':
      return { kind: 'insert', relation, after: tuple(stored.after) };
    case 'update':
      return {
        kind: 'update',
        relation,
        before: stored.before && tuple(stored.before),
        after: tuple(stored.after),
      };
    case 'delete':
      return { kind: 'delete', relation, before: tuple(stored.before) };
  }
}
