// Sets of JSON paths as the definition writes them: `items.*.price`, where `*` stands for any key or
// index and `$` for the whole. A set is a tree of segments, so that a walk down a value keeps a
// cursor instead of building and matching texts.

export interface Pattern {
  readonly next: ReadonlyMap<string, Pattern>;
  /** What was given for the path that ends here. */
  readonly value: number | undefined;
}

/** Pattern nodes that the path walked so far has reached; empty when nothing can match any more. */
export type Cursor = readonly Pattern[];

interface Growing {
  readonly next: Map<string, Growing>;
  value: number | undefined;
}

/** Compiles paths, each with a value: for a mere set, any number. */
export function compilePaths(paths: Iterable<readonly [string, number]>): Pattern {
  const root: Growing = { next: new Map(), value: undefined };
  for (const [path, value] of paths) {
    let node = root;
    for (const part of path === '$' ? [] : path.split('.')) {
      let next = node.next.get(part);
      if (!next) {
        next = { next: new Map(), value: undefined };
        node.next.set(part, next);
      }
      node = next;
    }
    node.value = value;
  }
  return root;
}

export function step(cursor: Cursor, key: string | number): Cursor {
  if (cursor.length === 0) return cursor;
  const next: Pattern[] = [];
  for (const node of cursor) {
    const named = node.next.get(String(key));
    if (named) next.push(named);
    const any = node.next.get('*');
    if (any) next.push(any);
  }
  return next;
}

/** The greatest value of the paths that end here; undefined when none does. */
export function valueAt(cursor: Cursor): number | undefined {
  let found: number | undefined;
  for (const { value } of cursor)
    if (value !== undefined && (found === undefined || value > found)) found = value;
  return found;
}

export function endsAt(cursor: Cursor): boolean {
  return cursor.some((node) => node.value !== undefined);
}
