// Which part of which table each side may not touch, given who owns the capability. From `sync` to
// the end, each side is fenced for whatever it does not own.
import { parseTableName } from '../../core/postgres/identifiers.ts';
import type { TableMap } from '../definition.ts';
import type { FencedTable } from './fence.ts';
import type { Owner } from './phase.ts';

/** The tables of `side`, in one fixed order (locks are taken in it), with what is closed to it while `owner` owns. */
export function fencedTables(
  tables: readonly TableMap[],
  side: Owner,
  owner: Owner,
): FencedTable[] {
  const fenced = tables.flatMap((map) =>
    side === 'monolith' ? [ofMonolith(map, owner)] : ofService(map, owner),
  );
  const label = (one: FencedTable): string => `${one.table.schema}.${one.table.table}`;
  return fenced.sort((a, b) => (label(a) < label(b) ? -1 : 1));
}

function ofMonolith(map: TableMap, owner: Owner): FencedTable {
  const closed = owner === 'service';
  return {
    table: parseTableName(map.monolith),
    rows: closed,
    columns: closed ? [...Object.keys(map.key), ...Object.keys(map.columns)] : [],
    fixed: [],
  };
}

function ofService(map: TableMap, owner: Owner): FencedTable[] {
  const closed = owner === 'monolith';
  return map.service.map((name, index) => {
    const here = (to: string): string[] => {
      const dot = to.lastIndexOf('.');
      const home = dot < 0 ? 0 : map.service.indexOf(to.slice(0, dot));
      return home === index ? [to.slice(dot + 1)] : [];
    };
    const key = Object.entries(map.key).map(([monolith, given]) =>
      typeof given === 'string' ? given : (given[name] ?? monolith),
    );
    const moves = Object.values(map.columns).flatMap((lens) => here(lens.to));
    const stays = Object.values(map.stays).flatMap((stay) =>
      here(stay.to).map((column) => ({
        column,
        value: stay.default === null ? null : String(stay.default),
      })),
    );
    return {
      table: parseTableName(name),
      rows: closed,
      columns: [...(closed ? [...key, ...moves] : []), ...stays.map((stay) => stay.column)],
      fixed: stays,
    };
  });
}
