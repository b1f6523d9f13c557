// Which part of which table each side may not touch, given who owns the capability. From `sync` to
// the end, each side is fenced for whatever it does not own.
import { parseTableName } from '../../core/postgres/identifiers.ts';
import type { TableMap } from '../definition.ts';
import { shiftDecimal } from './decimal.ts';
import type { FencedTable } from './fence.ts';
import { mappedTable, type Link, type MappedTable, type Place } from './mapped-table.ts';
import type { Owner } from './phase.ts';

/** The tables of `side`, in one fixed order (locks are taken in it), with what is closed to it while `owner` owns. */
export function fencedTables(
  tables: readonly TableMap[],
  side: Owner,
  owner: Owner,
): FencedTable[] {
  const fenced = tables.map(mappedTable).flatMap((map) => {
    return map[side].map((name, index) => fencedTable(map, side, owner, name, index));
  });
  const label = (one: FencedTable): string => `${one.table.schema}.${one.table.table}`;
  return fenced.sort((a, b) => (label(a) < label(b) ? -1 : 1));
}

function fencedTable(
  map: MappedTable,
  side: Owner,
  owner: Owner,
  name: string,
  index: number,
): FencedTable {
  const closed = owner !== side;
  const here = (places: readonly Place[]): string[] =>
    places.filter((place) => place.table === index).map((place) => place.column);
  const linked = (klass: Link['klass']): Link[] => map.links.filter((one) => one.klass === klass);
  const moves = linked('moves').flatMap((link) => here(link[side]));
  const key = here(map.key.map((link) => link[side]));
  // What stays is shown by the service, and never written by it.
  const stays =
    side === 'monolith'
      ? []
      : linked('stays').flatMap((link) =>
          here(link.service).map((column) => ({ column, value: shownFallback(link) })),
        );
  const where = side === 'monolith' ? map.where : [];
  return {
    table: parseTableName(name),
    rows: closed,
    columns: [
      ...new Set([
        ...(closed ? [...key, ...moves, ...where.map(({ column }) => column)] : []),
        ...stays.map(({ column }) => column),
      ]),
    ],
    fixed: stays,
    where,
  };
}

/** How the service shows what the monolith's column has in a row that the service inserts. */
function shownFallback(link: Link): string | null {
  if (link.wide || link.fallback === null) return link.fallback;
  const { lens, fallback } = link;
  if (lens.lens === 'values') return lens.values[fallback] ?? null;
  return lens.lens === 'scale'
    ? shiftDecimal(fallback, Math.round(Math.log10(lens.factor)))
    : fallback;
}
