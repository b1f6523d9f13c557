// Rows of ours that a target deletes or changes by itself, by its foreign keys, when a row goes that they
// point to. The source need not have done the same: it may look at its foreign keys at the end of a
// transaction, in which the row came again, or have none.
import type { LiveSchema, Taking } from '../../core/postgres/catalog.ts';
import {
  formatTable,
  quoteIdentifier,
  quoteLiteral,
  quoteTable,
  type TableName,
} from '../../core/postgres/identifiers.ts';
import type { Edge } from './mapping.ts';

/** What goes or changes with the rows of one target table. */
export interface Taken {
  /** Targets of which a row may have come to point elsewhere before, `schema.table`. */
  readonly apart: readonly string[];
  /** The foreign keys that lead to rows of ours; none where none does. */
  readonly links: readonly Taking[];
  /** The tables of those rows. */
  readonly tables: readonly {
    readonly name: TableName;
    readonly key: readonly string[];
    /** The source table that drives its rows, `schema.table`. */
    readonly source: string;
  }[];
}

export const NOTHING_TAKEN: Taken = { apart: [], links: [], tables: [] };

export function takenOf(label: string, edges: readonly Edge[], schema: LiveSchema): Taken {
  const links = schema.get(label)?.takes ?? [];
  const keys = new Map(
    edges.map((edge) => [formatTable(edge.target), edge.key.map(({ target }) => target)]),
  );
  const sources = edges
    .filter((edge) => edge.driver && formatTable(edge.target) === label)
    .map((edge) => formatTable(edge.source));
  // Rows that one row of the source drives go and come together.
  const isSameRow = (edge: Edge): boolean =>
    sources.includes(formatTable(edge.source)) &&
    links.every(
      ({ table, parent, columns, references }) =>
        table !== formatTable(edge.target) ||
        (formatTable(parent) === label &&
          columns.every((column) => keys.get(table)?.includes(column)) &&
          references.every((column) => keys.get(label)?.includes(column))),
    );
  const tables = edges.filter(
    (edge) =>
      edge.driver &&
      links.some(({ table }) => table === formatTable(edge.target)) &&
      !isSameRow(edge),
  );
  return {
    // What points by its key alone points elsewhere only as another row: that one goes or moves before its parent does.
    apart: links
      .filter(({ table, columns }) => {
        const key = keys.get(table);
        return key !== undefined && !columns.every((column) => key.includes(column));
      })
      .map(({ table }) => table),
    links: tables.length > 0 ? links : [],
    tables: tables.map(({ target, key, source }) => ({
      name: target,
      key: key.map((pair) => pair.target),
      source: formatTable(source),
    })),
  };
}

/**
 * A query of the rows of ours that go or change with rows of a target, as `source_table` and `key`; `those`
 * is what follows FROM: the target's rows that are to go, as `t`.
 */
export function takenText({ links, tables }: Taken, those: string): string {
  const steps = links.map(({ child, parent, columns, references, cascades }) => {
    const same = columns.map(
      (column, index) =>
        `c.${quoteIdentifier(column)} = p.${quoteIdentifier(references[index] ?? '')}`,
    );
    return `SELECT c.tableoid, c.ctid, ${cascades} FROM ${quoteTable(parent)} AS p JOIN ${quoteTable(child)} AS c ON ${same.join(' AND ')} WHERE p.tableoid = d.heap AND p.ctid = d.place`;
  });
  const found = tables.map(({ name, key, source }) => {
    // Unlike a cast, this leaves the blanks of a character(n).
    const texts = key.map((column) => `format('%s', c.${quoteIdentifier(column)})`);
    return `SELECT ${quoteLiteral(source)}, ARRAY[${texts.join(', ')}] FROM taken AS d JOIN ${quoteTable(name)} AS c ON c.tableoid = d.heap AND c.ctid = d.place WHERE NOT d.first`;
  });
  return `WITH RECURSIVE doomed(heap, place, goes, first) AS (
  SELECT t.tableoid, t.ctid, true, true FROM ${those}
  UNION SELECT n.*, false FROM doomed AS d CROSS JOIN LATERAL (${steps.join(' UNION ALL ')}) AS n(heap, place, goes) WHERE d.goes
), taken AS MATERIALIZED (SELECT heap, place, bool_or(first) AS first FROM doomed GROUP BY heap, place)
SELECT * FROM (${found.join(' UNION ALL ')}) AS f(source_table, key)`;
}
