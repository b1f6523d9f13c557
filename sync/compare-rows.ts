// Compares rows of the monolith with the service's, through the mapping and inside PostgreSQL: the
// mapped values are cast to the service's types there, so that equal means what the database means.
import type pg from 'pg';
import { formatTable, quoteIdentifier, quoteTable } from '../core/postgres/identifiers.ts';
import { textArray } from '../core/postgres/text-forms.ts';
import { rawRows } from '../core/postgres/connect.ts';
import type { Tuple } from './domain/change.ts';
import { sameText } from './domain/equality.ts';
import type { Edge } from './domain/mapping.ts';
import type { SourceTable } from './source.ts';

export interface RowDifference {
  /** Table of the service. */
  readonly table: string;
  readonly key: readonly string[];
  readonly kind: 'missing' | 'different';
  readonly columns: readonly {
    readonly column: string;
    readonly expected: string | null;
    readonly actual: string | null;
  }[];
}

/** What the service's table of this edge lacks or has otherwise, given rows of the monolith. */
export async function compareRows(
  service: pg.Client,
  table: SourceTable,
  edge: Edge,
  rows: readonly Tuple[],
): Promise<RowDifference[]> {
  if (rows.length === 0) return [];
  const at = (name: string): number =>
    table.relation.columns.findIndex((column) => column.name === name);
  const mapped = [...edge.key, ...edge.columns].map((pair) => {
    const index = at(pair.source);
    return textArray(
      rows.map((row) => {
        const value = row[index];
        return value === null || value === undefined ? null : pair.map(value);
      }),
    );
  });
  const different = edge.columns.map(
    (pair, index) =>
      `NOT (${sameText(`t.${quoteIdentifier(pair.target)}`, `s.c${index}`, pair.type)})`,
  );
  const names = [
    ...edge.key.map((_, index) => `k${index}`),
    ...edge.columns.map((_, index) => `c${index}`),
  ];
  const firstKey = `t.${quoteIdentifier(edge.key[0]?.target ?? '')}`;
  const found = await rawRows(
    service,
    `SELECT ${[
      `${firstKey} IS NULL`,
      ...edge.key.map((_, index) => `s.k${index}`),
      ...edge.columns.flatMap((pair, index) => [
        different[index] ?? 'false',
        `(s.c${index}::${pair.type})::text`,
        `t.${quoteIdentifier(pair.target)}::text`,
      ]),
    ].join(', ')}
       FROM unnest(${names.map((_, index) => `$${index + 1}::text[]`).join(', ')}) AS s(${names.join(', ')})
       LEFT JOIN ${quoteTable(edge.target)} AS t
         ON ${edge.key.map((pair, index) => `t.${quoteIdentifier(pair.target)} = s.k${index}::${pair.type}`).join(' AND ')}
      WHERE ${[`${firstKey} IS NULL`, ...different].join(' OR ')}`,
    mapped,
  );
  return found.map((row) => {
    const [missing, ...rest] = row;
    const values = rest.slice(edge.key.length);
    return {
      table: formatTable(edge.target),
      key: rest.slice(0, edge.key.length).map((value) => value ?? ''),
      kind: missing === 't' ? 'missing' : 'different',
      columns: edge.columns.flatMap((pair, index) =>
        missing !== 't' && values[index * 3] === 't'
          ? [
              {
                column: pair.target,
                expected: values[index * 3 + 1] ?? null,
                actual: values[index * 3 + 2] ?? null,
              },
            ]
          : [],
      ),
    };
  });
}
