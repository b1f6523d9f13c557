// Keys in SQL: asking for rows by many keys at once, walking a table in key order. Keys are lists of
// PostgreSQL's own text, cast to the columns' types by the server.
import type pg from 'pg';
import { rawRows } from '../core/postgres/connect.ts';
import { quoteIdentifier, quoteTable, type TableName } from '../core/postgres/identifiers.ts';
import { textArray } from '../core/postgres/text-forms.ts';
import { keyText } from './domain/target-table.ts';

export interface KeyColumn {
  readonly name: string;
  readonly type: string;
}

export type Key = readonly string[];

/** `unnest(…) AS s(k0, …)` over the parameters that `keyArrays` gives, and how table `t` joins it. */
export function keyJoin(columns: readonly KeyColumn[]): {
  from: string;
  on: string;
  asked: string;
} {
  const arrays = columns.map((_, index) => `$${index + 1}::text[]`).join(', ');
  const names = columns.map((_, index) => `k${index}`).join(', ');
  return {
    from: `unnest(${arrays}) AS s(${names})`,
    on: columns
      .map((column, index) => `t.${quoteIdentifier(column.name)} = s.k${index}::${column.type}`)
      .join(' AND '),
    asked: columns.map((_, index) => `s.k${index}`).join(', '),
  };
}

export function keyArrays(columns: readonly KeyColumn[], keys: readonly Key[]): string[] {
  return columns.map((_, index) => textArray(keys.map((key) => key[index] ?? null)));
}

/** The clauses that walk table `t` in key order from behind `cursor` up to `upTo`, whose parts are the parameters, or what `place` makes of them. */
export function walk(
  columns: readonly KeyColumn[],
  cursor: Key | null,
  limit: number,
  upTo: Key | null = null,
  condition?: string,
  place = (at: number, _value: string): string => `$${at}`,
): { clauses: string; values: string[] } {
  const list = columns.map((column) => `t.${quoteIdentifier(column.name)}`).join(', ');
  const values: string[] = [];
  const bound = (operator: string, key: Key | null): string[] => {
    if (key === null) return [];
    const parts = columns.map((column, index) => {
      const value = key[index] ?? '';
      values.push(value);
      return `${place(values.length, value)}::text::${column.type}`;
    });
    return [`(${list}) ${operator} (${parts.join(', ')})`];
  };
  const bounds = [
    ...bound('>', cursor),
    ...bound('<=', upTo),
    ...(condition === undefined ? [] : [condition]),
  ];
  const where = bounds.length === 0 ? '' : `WHERE ${bounds.join(' AND ')} `;
  return { clauses: `${where}ORDER BY ${list} LIMIT ${limit}`, values };
}

/** The next `limit` keys of a table behind `cursor`. */
export async function nextKeys(
  client: pg.Client,
  table: TableName,
  columns: readonly KeyColumn[],
  cursor: Key | null,
  limit: number,
  upTo: Key | null = null,
  condition?: string,
): Promise<string[][]> {
  const list = columns.map((column) => `t.${quoteIdentifier(column.name)}`).join(', ');
  const { clauses, values } = walk(columns, cursor, limit, upTo, condition);
  return (await rawRows(
    client,
    `SELECT ${list} FROM ${quoteTable(table)} AS t ${clauses}`,
    values,
  )) as string[][];
}

/** Which of the keys a table has, as `keyText`, in the text they were asked for. */
export async function existingKeys(
  client: pg.Client,
  table: TableName,
  columns: readonly KeyColumn[],
  keys: readonly Key[],
  condition = 'true',
): Promise<Set<string>> {
  if (keys.length === 0) return new Set();
  const { from, on, asked } = keyJoin(columns);
  const rows = await rawRows(
    client,
    `SELECT ${asked} FROM ${quoteTable(table)} AS t JOIN ${from} ON ${on} AND ${condition}`,
    keyArrays(columns, keys),
  );
  return new Set(rows.map((row) => keyText(row as string[])));
}

/**
 * Keys in the texts that a table has them in, in the same order: of `7` and `7.00` one number. Of a row that is
 * not there, as the server writes a value of that type.
 */
export async function asWritten(
  client: pg.Client,
  table: TableName,
  columns: readonly KeyColumn[],
  keys: readonly Key[],
): Promise<Key[]> {
  const arrays = columns.map((_, index) => `$${index + 1}::text[]`).join(', ');
  const names = columns.map((_, index) => `k${index}`).join(', ');
  const texts = columns.map(
    ({ name, type }, index) => `coalesce(t.${quoteIdentifier(name)}, s.k${index}::${type})`,
  );
  return (await rawRows(
    client,
    `SELECT ${texts.join(', ')} FROM unnest(${arrays}) WITH ORDINALITY AS s(${names}, at)
       LEFT JOIN ${quoteTable(table)} AS t ON ${keyJoin(columns).on} ORDER BY s.at`,
    keyArrays(columns, keys),
  )) as string[][];
}

export async function deleteKeys(
  client: pg.Client,
  table: TableName,
  columns: readonly KeyColumn[],
  keys: readonly Key[],
): Promise<void> {
  const { from, on } = keyJoin(columns);
  await client.query(
    `DELETE FROM ${quoteTable(table)} AS t USING ${from} WHERE ${on}`,
    keyArrays(columns, keys),
  );
}
