// Names and literals in SQL text, for the statements that take no parameters (DDL, replication).

/** `name` as a quoted identifier. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** `text` as a string literal, safe whatever `standard_conforming_strings` says. */
export function quoteLiteral(text: string): string {
  const escaped = text.replaceAll("'", "''");
  return text.includes('\\') ? ` E'${escaped.replaceAll('\\', '\\\\')}'` : `'${escaped}'`;
}

export interface TableName {
  readonly schema: string;
  readonly table: string;
}

/** `schema.table`, both quoted. */
export function quoteTable(name: TableName): string {
  return `${quoteIdentifier(name.schema)}.${quoteIdentifier(name.table)}`;
}

/** Reads `table` or `schema.table`; the schema is `public` where none is named. */
export function parseTableName(text: string): TableName {
  const dot = text.indexOf('.');
  return dot < 0
    ? { schema: 'public', table: text }
    : { schema: text.slice(0, dot), table: text.slice(dot + 1) };
}

export function formatTable(name: TableName): string {
  return `${name.schema}.${name.table}`;
}

/**
 * The name of the catalog's that was probably meant: one that differs in case only, or in the quotes that
 * SQL would have wanted and nobody writes here.
 */
export function nameMeant(name: string, known: Iterable<string>): string | undefined {
  const plain = (one: string): string => one.replaceAll('"', '').toLowerCase();
  return [...known].find((one) => plain(one) === plain(name));
}
