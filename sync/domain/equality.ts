// When two values are the same in SQL: by the type's own equality, or by their text where it has none, or
// one that takes what reads otherwise for equal.
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

export interface Compared {
  readonly type: string;
  /** Mapped together with others. */
  readonly wide: boolean;
  /** The catalog says that its equality does not tell. */
  readonly unequal?: boolean;
}

/** A condition in SQL. `given` is an expression of type text. */
export function sameText(actual: string, given: string, { type, wide, unequal }: Compared): string {
  if (wide && type === 'json') return `${actual}::jsonb IS NOT DISTINCT FROM ${given}::jsonb`;
  return unequal === true || BY_TEXT.has(type.replace(/(\[\])+$/, ''))
    ? `${actual}::text COLLATE "C" IS NOT DISTINCT FROM ${given}::${type}::text COLLATE "C"`
    : `${actual} IS NOT DISTINCT FROM ${given}::${type}`;
}
