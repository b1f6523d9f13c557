// Compares rows of the monolith with the service's, through the mapping and inside PostgreSQL: the
// mapped values are cast to the service's types there, so that equal means what the database means.
import type pg from 'pg';
import {
  formatTable,
  quoteIdentifier,
  quoteLiteral,
  quoteTable,
} from '../core/postgres/identifiers.ts';
import { textArray } from '../core/postgres/text-forms.ts';
import { rawRows } from '../core/postgres/connect.ts';
import type { Tuple } from './domain/change.ts';
import { sameText } from './domain/equality.ts';
import { LensError } from './domain/lens.ts';
import { targetColumns, type Edge, type TargetColumn } from './domain/mapping.ts';
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
    /** Why the monolith's value has no form at the service; nothing is expected there then. */
    readonly why?: string;
  }[];
}

/** What the service's table of this edge lacks or has otherwise, given rows of the monolith. */
export async function compareRows(
  service: pg.Client,
  table: SourceTable,
  edge: Edge,
  rows: readonly Tuple[],
): Promise<RowDifference[]> {
  const differences: RowDifference[] = [];
  const images: Image[] = [];
  for (const row of rows)
    try {
      images.push(imageOf(table, edge, row));
    } catch (error) {
      if (!(error instanceof Unmapped)) throw error;
      differences.push({
        table: formatTable(edge.target),
        key: table.keyOf(row),
        kind: 'different',
        columns: error.columns.map((column) => ({
          ...{ column, expected: null, actual: null },
          why: error.message,
        })),
      });
    }
  return [...differences, ...(await compareImages(service, edge, images))];
}

/**
 * The rows of the service's table that say something of a part which is not there, or that exist without
 * the row which drives them, as a condition on a row `t`.
 */
export function extraRows(edge: Edge): string {
  if (edge.driver) return 'true';
  const set = targetColumns(edge).map((column) =>
    says(column, `t.${quoteIdentifier(column.target)}`),
  );
  return set.length === 0 ? 'false' : `(${set.join(' OR ')})`;
}

/** Whether a column has another value than where there is no part, as a condition. */
function says(column: TargetColumn, value: string): string {
  return column.absent === null
    ? `${value} IS NOT NULL`
    : `NOT (${sameText(value, quoteLiteral(column.absent), column)})`;
}

/** What a row of the monolith is at the service. */
interface Image {
  readonly key: readonly string[];
  readonly values: readonly (string | null)[];
}

/** A value of the monolith that has no form in these columns of the service. */
class Unmapped extends Error {
  override readonly name = 'Unmapped';
  readonly columns: readonly string[];

  constructor(columns: readonly string[], cause: LensError) {
    super(cause.message, { cause });
    this.columns = columns;
  }
}

function mapped<T>(columns: readonly string[], map: () => T): T {
  try {
    return map();
  } catch (error) {
    throw error instanceof LensError ? new Unmapped(columns, error) : error;
  }
}

function imageOf(table: SourceTable, edge: Edge, row: Tuple): Image {
  const valueOf = (name: string): string | null =>
    row[table.relation.columns.findIndex((column) => column.name === name)] ?? null;
  return {
    key: table.keyOf(row),
    values: [
      ...edge.columns.map((pair) => {
        const value = valueOf(pair.source);
        return value === null ? null : mapped([pair.target], () => pair.map(value));
      }),
      ...edge.groups.flatMap((group) =>
        mapped(
          group.targets.map(({ target }) => target),
          () => group.map(group.sources.map(valueOf)),
        ),
      ),
    ],
  };
}

async function compareImages(
  service: pg.Client,
  edge: Edge,
  images: readonly Image[],
): Promise<RowDifference[]> {
  if (images.length === 0) return [];
  const columns = targetColumns(edge);
  const arrays = [
    ...edge.key.map((_, index) => textArray(images.map(({ key }) => key[index] ?? null))),
    ...columns.map((_, index) => textArray(images.map(({ values }) => values[index] ?? null))),
  ];
  const different = columns.map(
    (column, index) =>
      `NOT (${sameText(`t.${quoteIdentifier(column.target)}`, `s.c${index}`, column)})`,
  );
  const names = [
    ...edge.key.map((_, index) => `k${index}`),
    ...columns.map((_, index) => `c${index}`),
  ];
  const firstKey = `t.${quoteIdentifier(edge.key[0]?.target ?? '')}`;
  // A part has no row of its own there: whether one is missing is seen by its driver.
  const absent = edge.driver ? [`${firstKey} IS NULL`] : ['false'];
  const said = columns.map((column, index) => says(column, `s.c${index}::${column.type}`));
  const missing = [...absent, ...(edge.part ? [`(${said.join(' OR ') || 'false'})`] : [])].join(
    ' AND ',
  );
  const found = await rawRows(
    service,
    `SELECT ${[
      missing,
      ...edge.key.map((_, index) => `s.k${index}`),
      ...columns.flatMap(({ target, type }, index) => [
        different[index] ?? 'false',
        `(s.c${index}::${type})::text`,
        `t.${quoteIdentifier(target)}::text`,
      ]),
    ].join(', ')}
       FROM unnest(${names.map((_, index) => `$${index + 1}::text[]`).join(', ')}) AS s(${names.join(', ')})
       ${edge.driver ? 'LEFT JOIN' : 'JOIN'} ${quoteTable(edge.target)} AS t
         ON ${edge.key.map((pair, index) => `t.${quoteIdentifier(pair.target)} = s.k${index}::${pair.type}`).join(' AND ')}
      WHERE ${missing} OR (${firstKey} IS NOT NULL AND (${different.join(' OR ') || 'false'}))`,
    arrays,
  );
  return found.map((row) => {
    const [isMissing, ...rest] = row;
    const values = rest.slice(edge.key.length);
    return {
      table: formatTable(edge.target),
      key: rest.slice(0, edge.key.length).map((value) => value ?? ''),
      kind: isMissing === 't' ? 'missing' : 'different',
      columns: columns.flatMap(({ target }, index) =>
        isMissing !== 't' && values[index * 3] === 't'
          ? [
              {
                column: target,
                expected: values[index * 3 + 1] ?? null,
                actual: values[index * 3 + 2] ?? null,
              },
            ]
          : [],
      ),
    };
  });
}
