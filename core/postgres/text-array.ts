// PostgreSQL array literals of text, built by hand because the hot path sends whole columns.

const NEEDS_ESCAPE = /["\\]/g;

/** `{"a","b",NULL}`: a one-dimensional array literal, valid input for `$1::text[]`. */
export function textArray(values: readonly (string | null)[]): string {
  let literal = '{';
  for (let index = 0; index < values.length; index++) {
    if (index > 0) literal += ',';
    const value = values[index];
    if (value === null || value === undefined) literal += 'NULL';
    else
      literal += `"${value.includes('"') || value.includes('\\') ? value.replace(NEEDS_ESCAPE, '\\$&') : value}"`;
  }
  return literal + '}';
}
