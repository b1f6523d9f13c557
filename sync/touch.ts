// Columns that stay with the monolith are its own also while the service owns the rest of a row. Where the
// service has another value there, nothing is read again: the monolith writes the row once more as it is, and
// the flow brings what stays.
import type pg from 'pg';
import type { LiveSchema } from '../core/postgres/catalog.ts';
import {
  formatTable,
  parseTableName,
  quoteIdentifier,
  quoteTable,
} from '../core/postgres/identifiers.ts';
import type { Capability } from '../control/definition.ts';
import { mappedTable } from '../control/domain/mapped-table.ts';
import { keyArrays, keyJoin, type Key } from './keys.ts';
import type { SourceTable } from './source.ts';

/** A column that stays, in a table of the monolith. */
export interface Staying {
  readonly source: string;
  readonly column: string;
  readonly isArray: boolean;
}

/** By column of the service (`schema.table column`), where its value comes from; `schema` is the monolith's. */
export function stayingColumns(
  { tables }: Capability,
  schema: LiveSchema,
): ReadonlyMap<string, Staying> {
  const label = (names: readonly string[], table: number): string =>
    formatTable(parseTableName(names[table] ?? ''));
  const staying = (source: string, column: string): Staying => ({
    ...{ source, column },
    isArray: schema.get(source)?.columns.get(column)?.type.endsWith('[]') ?? false,
  });
  return new Map(
    tables
      .map(mappedTable)
      .flatMap(({ monolith, service, links }) =>
        links.flatMap(({ klass, monolith: [from], service: [into] }) =>
          klass === 'stays' && from && into
            ? [
                [
                  nameOf(label(service, into.table), into.column),
                  staying(label(monolith, from.table), from.column),
                ] as const,
              ]
            : [],
        ),
      ),
  );
}

export function nameOf(table: string, column: string): string {
  return `${table} ${column}`;
}

/**
 * Writes rows of the monolith again as they are, by what stays there. Each value is copied out of where it lies: a
 * long one that is only assigned to itself goes on lying there, and is then sent by nobody.
 */
export async function touch(
  monolith: pg.Client,
  tables: readonly SourceTable[],
  rows: ReadonlyMap<Staying, readonly Key[]>,
): Promise<void> {
  for (const [{ source, column, isArray }, keys] of rows) {
    const table = tables.find(({ label }) => label === source);
    if (!table) continue;
    const { from, on } = keyJoin(table.key);
    const name = quoteIdentifier(column);
    const copy = isArray
      ? `CASE WHEN t.${name} IS NOT NULL THEN t.${name} || '{}' END`
      : `(ARRAY[t.${name}])[1]`;
    for (let done = 0; done < keys.length; done += BATCH_ROWS)
      await monolith.query(
        `UPDATE ${quoteTable(table.relation)} AS t SET ${name} = ${copy} FROM ${from} WHERE ${on}`,
        keyArrays(table.key, keys.slice(done, done + BATCH_ROWS)),
      );
  }
}

const BATCH_ROWS = 1_000;
