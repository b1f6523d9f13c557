// Columns that stay with the monolith are its own also while the service owns the rest of a row. Where the
// service has another value there, nothing is read again: the monolith writes the row once more as it is, and
// the flow brings what stays.
import {
  formatTable,
  parseTableName,
  quoteIdentifier,
  quoteTable,
} from '../core/postgres/identifiers.ts';
import type { Capability } from '../control/definition.ts';
import { mappedTable } from '../control/domain/mapped-table.ts';
import type { Sides } from './barriers.ts';
import { keyArrays, keyJoin, type Key } from './keys.ts';
import type { SourceTable } from './source.ts';

/** A column that stays, in a table of the monolith. */
export interface Staying {
  readonly source: string;
  readonly column: string;
}

/** By column of the service (`schema.table column`), where its value comes from. */
export function stayingColumns({ tables }: Capability): ReadonlyMap<string, Staying> {
  const label = (names: readonly string[], table: number): string =>
    formatTable(parseTableName(names[table] ?? ''));
  return new Map(
    tables
      .map(mappedTable)
      .flatMap(({ monolith, service, links }) =>
        links.flatMap(({ klass, monolith: [from], service: [into] }) =>
          klass === 'stays' && from && into
            ? [
                [
                  nameOf(label(service, into.table), into.column),
                  { source: label(monolith, from.table), column: from.column },
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

/** Writes rows of the monolith again as they are, by what stays there. */
export async function touch(
  { monolith }: Sides,
  tables: readonly SourceTable[],
  rows: readonly (Staying & { readonly key: Key })[],
): Promise<void> {
  for (const [source, asked] of Map.groupBy(rows, (one) => one.source)) {
    const table = tables.find(({ label }) => label === source);
    const column = asked[0]?.column;
    if (!table || column === undefined) continue;
    const { from, on } = keyJoin(table.key);
    const name = quoteIdentifier(column);
    for (let done = 0; done < asked.length; done += BATCH_ROWS)
      await monolith.write.query(
        `UPDATE ${quoteTable(table.relation)} AS t SET ${name} = t.${name} FROM ${from} WHERE ${on}`,
        keyArrays(
          table.key,
          asked.slice(done, done + BATCH_ROWS).map(({ key }) => key),
        ),
      );
  }
}

const BATCH_ROWS = 1_000;
