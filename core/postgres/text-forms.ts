// Texts that PostgreSQL reads many values from: array literals and COPY's text format, built by hand
// because the hot path sends whole columns.

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

const BLANK = 0x20;

/** A character(n) as text: without the blanks that pad it, and with whatever else it ends with. */
export function withoutBlanks(text: string): string {
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) === BLANK) end -= 1;
  return text.slice(0, end);
}

const SPECIAL = /[\\\n\r\t]/;
const ALL_SPECIAL = /[\\\n\r\t]/g;
const ESCAPES: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};

/** A value in COPY's text format. */
export function copyField(value: string | null): string {
  if (value === null) return '\\N';
  return SPECIAL.test(value)
    ? value.replace(ALL_SPECIAL, (character) => ESCAPES[character] ?? character)
    : value;
}
