// A table map with its names resolved, alike for both sides: tables, the first of which drives (a
// target row exists exactly when the driver's does), and where each column lies.
import type { TableMap } from '../definition.ts';
import type { Lens, Reference, WideLens } from '../lenses.ts';
import type { Owner } from './phase.ts';

/** A column of one of a side's tables, by the table's index. */
export interface Place {
  readonly table: number;
  readonly column: string;
}

interface Linked {
  readonly klass: 'moves' | 'stays';
  readonly monolith: readonly Place[];
  readonly service: readonly Place[];
  /** Value of the monolith's column in a row that the service inserts (stays only). */
  readonly fallback: string | null;
}

export type Link = Linked &
  (
    { readonly wide: false; readonly lens: Lens } | { readonly wide: true; readonly lens: WideLens }
  );

export interface MappedTable {
  readonly monolith: readonly string[];
  readonly service: readonly string[];
  /** For each pair of tables that a flow joins, in the order of the key's columns. */
  readonly key: readonly { readonly monolith: Place; readonly service: Place }[];
  readonly links: readonly Link[];
  readonly shared: Readonly<Record<Owner, readonly Place[]>>;
  readonly defaults: Readonly<
    Record<Owner, readonly (Place & { readonly value: string | null })[]>
  >;
  /** Only these rows of the monolith belong to the capability. */
  readonly where: RowFilter;
  /** What a team has decided on the tables' own triggers. */
  readonly triggers: Readonly<Partial<Record<Owner, 'fire' | 'skip' | undefined>>>;
}

/** Columns that must hold one of these values each; null is SQL NULL. */
export type RowFilter = readonly {
  readonly column: string;
  readonly values: readonly Literal[];
}[];

export type Literal = string | number | boolean | null;

/** Where `column`, `table.column` or `schema.table.column` lies; index -1 for a table that is not named. */
export function placeOf(tables: readonly string[], name: string): Place {
  const dot = name.lastIndexOf('.');
  if (dot < 0) return { table: 0, column: name };
  return { table: tables.indexOf(name.slice(0, dot)), column: name.slice(dot + 1) };
}

export function mappedTable(map: TableMap): MappedTable {
  const inMonolith = (name: string): Place => placeOf(map.monolith, name);
  const inService = (name: string): Place => placeOf(map.service, name);
  const places = (side: Owner, names: readonly string[]): Place[] =>
    names.map((name) => placeOf(map[side], name));
  return {
    monolith: map.monolith,
    service: map.service,
    key: keyLinks(map),
    links: [
      ...Object.entries(map.columns).map(([name, lens]): Link => ({
        ...{ klass: 'moves', wide: false, lens, fallback: null },
        ...{ monolith: [inMonolith(name)], service: [inService(lens.to)] },
      })),
      ...map.lenses.map((lens): Link => ({
        ...{ klass: 'moves', wide: true, lens, fallback: null },
        monolith: lens.monolith.map(inMonolith),
        service: lens.service.map(inService),
      })),
      ...Object.entries(map.stays).map(([name, { default: value, ...lens }]): Link => ({
        ...{ klass: 'stays', wide: false, lens, fallback: literalText(value) },
        ...{ monolith: [inMonolith(name)], service: [inService(lens.to)] },
      })),
    ],
    shared: {
      monolith: places('monolith', map.shared.monolith),
      service: places('service', map.shared.service),
    },
    defaults: {
      monolith: [...defaultsOf(map, 'monolith'), ...filtered(map)],
      service: defaultsOf(map, 'service'),
    },
    where: filterOf(map),
    triggers: map.triggers,
  };
}

function keyLinks(map: TableMap): MappedTable['key'] {
  return Object.entries(map.key).flatMap(([name, given]) => {
    const monolith = placeOf(map.monolith, name);
    return map.service.map((table, index) => ({
      monolith,
      service: {
        table: index,
        column: typeof given === 'string' ? given : (given[table] ?? monolith.column),
      },
    }));
  });
}

function defaultsOf(map: TableMap, side: Owner): MappedTable['defaults'][Owner] {
  return Object.entries(map.defaults[side]).map(([name, value]) => ({
    ...placeOf(map[side], name),
    value: literalText(value),
  }));
}

function filterOf(map: TableMap): RowFilter {
  return Object.entries(map.where).map(([column, given]) => ({
    column,
    values: Array.isArray(given) ? given : [given],
  }));
}

/** A column that may hold one value only has it in each row that the service inserts. */
function filtered(map: TableMap): MappedTable['defaults'][Owner] {
  const written = new Set([
    ...Object.keys(map.key),
    ...Object.keys(map.columns),
    ...Object.keys(map.stays),
    ...map.lenses.flatMap((lens) => lens.monolith),
    ...Object.keys(map.defaults.monolith),
  ]);
  return filterOf(map).flatMap(({ column, values: [value, ...more] }) =>
    value === undefined || more.length > 0 || written.has(column)
      ? []
      : [{ table: 0, column, value: literalText(value) }],
  );
}

export function literalText(value: Literal): string | null {
  return value === null ? null : String(value);
}

/** Why changes of the service cannot travel back to the monolith; undefined where they can. */
export function oneWayReason(tables: readonly TableMap[]): string | undefined {
  for (const map of tables)
    for (const lens of map.lenses)
      if (lens.lens === 'custom' && !lens.put)
        return `the custom lens of ${map.monolith.join(', ')} (${lens.monolith.join(', ')} → ${lens.service.join(', ')}) has no put, so what the service writes cannot come back`;
  return undefined;
}

/** Whether sync passes the triggers of some table of a side by. */
export function skipsTriggers(tables: readonly TableMap[], side: Owner): boolean {
  return tables.some((table) => table.triggers[side] === 'skip');
}

/** The tables of references that lookup lenses ask. */
export function referencesOf(tables: readonly TableMap[]): Reference[] {
  return tables.flatMap((table) =>
    [...Object.values(table.columns), ...Object.values(table.stays)].flatMap((lens) =>
      lens.lens === 'lookup' ? [lens.in] : [],
    ),
  );
}
