// Rows of ours that a target deletes or changes by itself, by its foreign keys, when a row goes that they
// point to. The source need not have done the same: it may look at its foreign keys at the end of a
// transaction, in which the row came again, or have none.
import type { LiveSchema, Taking } from '../../core/postgres/catalog.ts';
import {
  formatTable,
  quoteIdentifier,
  quoteLiteral,
  quoteTable,
} from '../../core/postgres/identifiers.ts';
import type { Edge } from './mapping.ts';

/** What goes or changes with the rows of one target table. */
export interface Taken {
  /** Targets of which a row may have come to point elsewhere before, `schema.table`. */
  readonly apart: readonly string[];
  /** The foreign keys, where by some of them rows of ours go or change without a word of the source; or none. */
  readonly links: readonly Link[];
}

interface Link extends Taking {
  /** The source says itself what becomes of the rows that point by it. */
  readonly told: boolean;
  /** The source tables that drive the child's rows, `schema.table`, and the key that those have. */
  readonly drivers: readonly string[];
  readonly key: readonly string[];
}

export const NOTHING_TAKEN: Taken = { apart: [], links: [] };

/** Of each target table. */
export function takenOfAll(
  edges: readonly Edge[],
  source: LiveSchema,
  target: LiveSchema,
): ReadonlyMap<string, Taken> {
  const byTarget = new Map<string, Edge[]>();
  for (const edge of edges) {
    const label = formatTable(edge.target);
    byTarget.set(label, [...(byTarget.get(label) ?? []), edge]);
  }
  const linkOf = (taking: Taking): Link => {
    const drivers = driversOf(byTarget.get(taking.table));
    return {
      ...taking,
      told: isTold(taking, drivers, driversOf(byTarget.get(formatTable(taking.parent))), source),
      drivers: drivers.map((edge) => formatTable(edge.source)),
      key: drivers[0]?.key.map((pair) => pair.target) ?? [],
    };
  };
  return new Map(
    [...byTarget.keys()].map((label) => {
      const links = (target.get(label)?.takes ?? []).map(linkOf);
      // What points by its key alone points elsewhere only as another row: that one goes or moves before its parent does.
      const apart = links.filter(({ table, columns }) => {
        const key = byTarget.get(table)?.[0]?.key.map((pair) => pair.target);
        return key !== undefined && !columns.every((column) => key.includes(column));
      });
      return [
        label,
        { apart: apart.map(({ table }) => table), links: losesOurs(links) ? links : [] },
      ];
    }),
  );
}

function driversOf(edges: readonly Edge[] = []): readonly Edge[] {
  return edges.filter(({ driver }) => driver);
}

/** One row of the source drives both, or the source has the same foreign key, and lets no row go that is pointed to. */
function isTold(
  { columns, references }: Taking,
  children: readonly Edge[],
  parents: readonly Edge[],
  schema: LiveSchema,
): boolean {
  return (
    children.length > 0 &&
    children.every((child) => {
      const own = columns.map((column) => sourceOf(child, column));
      return parents.some((parent) => {
        const theirs = references.map((column) => sourceOf(parent, column));
        if (own.includes(undefined) || theirs.includes(undefined)) return false;
        const table = formatTable(parent.source);
        if (formatTable(child.source) === table && isKey(child, own) && isKey(parent, theirs))
          return true;
        const pairs = pairsOf(own, theirs);
        return schema
          .get(formatTable(child.source))
          ?.foreignKeys.some(
            (one) =>
              !one.deferrable &&
              one.table === table &&
              pairsOf(one.columns, one.references) === pairs,
          );
      });
    })
  );
}

function isKey({ key }: Edge, columns: readonly (string | undefined)[]): boolean {
  return columns.length === key.length && key.every(({ source }) => columns.includes(source));
}

/** The column of the source that alone feeds one of the target. */
function sourceOf({ key, columns }: Edge, column: string): string | undefined {
  return [...key, ...columns].find(({ target }) => target === column)?.source;
}

function pairsOf(
  columns: readonly (string | undefined)[],
  references: readonly (string | undefined)[],
): string {
  return JSON.stringify(columns.map((column, index) => [column, references[index]]).sort());
}

/** Whether rows of ours are among those that the source does not tell of, or go with such. */
function losesOurs(links: readonly Link[]): boolean {
  const lost = new Set(links.flatMap(({ told, table }) => (told ? [] : table)));
  for (let size = -1; size < lost.size;) {
    size = lost.size;
    for (const { parent, table } of links) if (lost.has(formatTable(parent))) lost.add(table);
  }
  return links.some(({ table, drivers }) => drivers.length > 0 && lost.has(table));
}

/**
 * A query of the rows of ours that go or change with rows of a target, and of which the source need not tell,
 * as `source_table` and `key`; `those` is what follows FROM: the target's rows that are to go, as `t`.
 */
export function takenText({ links }: Taken, those: string): string {
  const steps = links.flatMap(
    ({ child, parent, columns, references, cascades, told, drivers, key }) => {
      const same = columns.map(
        (column, index) =>
          `c.${quoteIdentifier(column)} = p.${quoteIdentifier(references[index] ?? '')}`,
      );
      // Unlike a cast, this leaves the blanks of a character(n).
      const texts = key.map((column) => `format('%s', c.${quoteIdentifier(column)})`);
      const names =
        drivers.length === 0
          ? ['NULL::text, NULL::text[]']
          : drivers.map((driver) => `${quoteLiteral(driver)}, ARRAY[${texts.join(', ')}]`);
      return names.map(
        (name) =>
          `SELECT c.tableoid, c.ctid, ${cascades}, d.lost OR ${!told}, ${name} FROM ${quoteTable(parent)} AS p JOIN ${quoteTable(child)} AS c ON ${same.join(' AND ')} WHERE p.tableoid = d.heap AND p.ctid = d.place`,
      );
    },
  );
  return `WITH RECURSIVE gone AS MATERIALIZED (SELECT t.tableoid AS heap, t.ctid AS place FROM ${those}),
doomed(heap, place, goes, lost, source_table, key) AS (
  SELECT heap, place, true, false, NULL::text, NULL::text[] FROM gone
  UNION SELECT n.* FROM doomed AS d CROSS JOIN LATERAL (${steps.join(' UNION ALL ')}) AS n WHERE d.goes
)
SELECT DISTINCT source_table, key FROM doomed WHERE lost AND source_table IS NOT NULL AND (heap, place) NOT IN (TABLE gone)`;
}
