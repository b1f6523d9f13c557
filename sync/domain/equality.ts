// When two values are the same in SQL: by the type's own equality, or by their text where it has none.

// Types without an equality operator.
const BY_TEXT = new Set([
  'json',
  'xml',
  'point',
  'polygon',
  'box',
  'line',
  'lseg',
  'path',
  'circle',
]);

/** A condition in SQL. `given` is an expression of type text. */
export function sameText(actual: string, given: string, type: string): string {
  return BY_TEXT.has(type.replace(/(\[\])+$/, ''))
    ? `${actual}::text IS NOT DISTINCT FROM ${given}::${type}::text`
    : `${actual} IS NOT DISTINCT FROM ${given}::${type}`;
}
