// When two values are the same in SQL: by the type's own equality, or by their text where it has none.
// A JSON text that is made of several columns is the same however it is spaced and ordered.

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

/** A condition in SQL. `given` is an expression of type text; `wide`: the column is mapped with others. */
export function sameText(actual: string, given: string, type: string, wide: boolean): string {
  if (wide && type === 'json') return `${actual}::jsonb IS NOT DISTINCT FROM ${given}::jsonb`;
  return BY_TEXT.has(type.replace(/(\[\])+$/, ''))
    ? `${actual}::text IS NOT DISTINCT FROM ${given}::${type}::text`
    : `${actual} IS NOT DISTINCT FROM ${given}::${type}`;
}
