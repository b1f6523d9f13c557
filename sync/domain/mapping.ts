// A table mapping compiled against both live schemas into edges: source table → target table over a
// shared key. A split is several edges from one source, a merge several edges into one target, of
// which the driver decides whether the target row exists. What an edge carries depends on who owns
// the data: an owner's flow carries what moves, a guest's only the columns that stay with it.
import type { TableMap } from '../../control/definition.ts';
import type { Direction } from '../../control/domain/flow.ts';
import { formatTable, parseTableName, type TableName } from '../../core/postgres/identifiers.ts';
import type { Lens } from '../../control/lenses.ts';
import { compileLens, type TextMap } from './lens.ts';
import type { LiveColumn, LiveSchema, LiveTable } from '../../core/postgres/catalog.ts';

/** What a flow's source owns: all that moves, or only what stays. */
export type Owning = 'owner' | 'guest';

/** The same, and whether both sides write what moves: then the one that owns it judges (verdict.ts). */
export type Mode = Owning | `sharing ${Owning}`;

export interface ColumnPair {
  readonly source: string;
  readonly target: string;
  /** The target column's type, for casts; and the source column's. */
  readonly type: string;
  readonly sourceType: string;
  readonly map: TextMap;
  /** What the map was made from, seen from the monolith; none for a plain copy. */
  readonly lens?: Lens | undefined;
  /** A row cannot be inserted without it: not null, and no default. */
  readonly needed: boolean;
  /** Part of a foreign key, and may be null until what it points to is there. */
  readonly reference: boolean;
}

export interface Constant {
  readonly column: string;
  readonly type: string;
  readonly value: string | null;
}

export interface Edge {
  readonly source: TableName;
  readonly target: TableName;
  readonly key: readonly ColumnPair[];
  readonly columns: readonly ColumnPair[];
  /** Set in rows that this edge inserts, left alone in rows that exist. */
  readonly constants: readonly Constant[];
  /** The target row exists exactly when the source row does. */
  readonly driver: boolean;
}

/** The target's key columns of an edge, with their types. */
export function targetKey(edge: Edge): { name: string; type: string }[] {
  return edge.key.map((pair) => ({ name: pair.target, type: pair.type }));
}

/** A column that the mapping names and the database lacks; preflight reports them, a plan refuses. */
export class MappingError extends Error {
  override readonly name = 'MappingError';
}

/** One mapped table with both sides resolved to columns; the base of every plan and of verify. */
export interface ResolvedTable {
  readonly monolith: TableName;
  readonly services: readonly TableName[];
  readonly pairs: readonly ResolvedPair[];
  readonly map: TableMap;
}

export interface ResolvedPair {
  readonly klass: 'key' | 'moves' | 'stays';
  readonly monolith: string;
  /** Index into `services`. */
  readonly service: number;
  readonly column: string;
  readonly get: TextMap;
  readonly put: TextMap;
  readonly lens?: Lens;
  /** Value of the monolith's column in a row that the service inserts (stays only). */
  readonly fallback: string | null;
}

export interface Schemas {
  readonly monolith: LiveSchema;
  readonly service: LiveSchema;
}

export function resolveTable(map: TableMap): ResolvedTable {
  const services = map.service.map(parseTableName);
  const pairs: ResolvedPair[] = [];
  const place = (to: string): { service: number; column: string } => {
    const dot = to.lastIndexOf('.');
    if (dot < 0) return { service: 0, column: to };
    return { service: map.service.indexOf(to.slice(0, dot)), column: to.slice(dot + 1) };
  };
  for (const [monolith, given] of Object.entries(map.key))
    map.service.forEach((table, service) => {
      const column = typeof given === 'string' ? given : (given[table] ?? monolith);
      pairs.push({ klass: 'key', monolith, service, column, ...IDENTITY, fallback: null });
    });
  for (const [monolith, lens] of Object.entries(map.columns))
    pairs.push({
      klass: 'moves',
      monolith,
      ...place(lens.to),
      ...compileLens(lens),
      lens,
      fallback: null,
    });
  for (const [monolith, stay] of Object.entries(map.stays))
    pairs.push({
      klass: 'stays',
      monolith,
      ...place(stay.to),
      ...IDENTITY,
      fallback: literalText(stay.default),
    });
  return { monolith: parseTableName(map.monolith), services, pairs, map };
}

/** The edges of one flow in one mode. Throws MappingError for a table or column that is not there. */
export function compileEdges(
  tables: readonly ResolvedTable[],
  schemas: Schemas,
  direction: Direction,
  mode: Owning,
): Edge[] {
  const edges = tables.flatMap((table) =>
    table.services.map((_, index) =>
      direction === 'to' ? edgeTo(table, index, schemas, mode) : edgeBack(table, index, schemas),
    ),
  );
  if (mode === 'owner') return edges;
  return direction === 'back' ? [] : edges.filter((edge) => edge.columns.length > 0);
}

function edgeTo(table: ResolvedTable, index: number, schemas: Schemas, mode: Owning): Edge {
  const service = table.services[index] as TableName;
  const from = liveTable(schemas.monolith, table.monolith);
  const into = liveTable(schemas.service, service);
  const carried = table.pairs.filter(
    (pair) =>
      pair.service === index &&
      pair.klass !== 'key' &&
      (mode === 'owner' || pair.klass === 'stays'),
  );
  const pairOf = (pair: ResolvedPair): ColumnPair =>
    columnPair(liveColumn(from, pair.monolith), liveColumn(into, pair.column), pair.get, pair.lens);
  return {
    source: table.monolith,
    target: service,
    key: table.pairs.filter((pair) => pair.service === index && pair.klass === 'key').map(pairOf),
    columns: carried.map(pairOf),
    constants: constantsOf(table.map.defaults.service, table, index, into),
    driver: mode === 'owner',
  };
}

function edgeBack(table: ResolvedTable, index: number, schemas: Schemas): Edge {
  const service = table.services[index] as TableName;
  const from = liveTable(schemas.service, service);
  const into = liveTable(schemas.monolith, table.monolith);
  const own = table.pairs.filter((pair) => pair.service === index);
  const pairOf = (pair: ResolvedPair): ColumnPair =>
    columnPair(liveColumn(from, pair.column), liveColumn(into, pair.monolith), pair.put, pair.lens);
  const stays = table.pairs
    .filter((pair) => pair.klass === 'stays')
    .map((pair) => ({
      column: pair.monolith,
      type: liveColumn(into, pair.monolith).type,
      value: pair.fallback,
    }));
  return {
    source: service,
    target: table.monolith,
    key: own.filter((pair) => pair.klass === 'key').map(pairOf),
    columns: own.filter((pair) => pair.klass === 'moves').map(pairOf),
    constants:
      index === 0 ? [...stays, ...constantsOf(table.map.defaults.monolith, table, 0, into)] : [],
    driver: index === 0,
  };
}

function constantsOf(
  defaults: TableMap['defaults']['service'],
  table: ResolvedTable,
  index: number,
  into: LiveTable,
): Constant[] {
  return Object.entries(defaults).flatMap(([name, value]) => {
    const dot = name.lastIndexOf('.');
    const column = name.slice(dot + 1);
    const home = dot < 0 ? 0 : table.map.service.indexOf(name.slice(0, dot));
    return home === index
      ? [{ column, type: liveColumn(into, column).type, value: literalText(value) }]
      : [];
  });
}

function columnPair(
  from: LiveColumn,
  into: LiveColumn,
  map: TextMap,
  lens: Lens | undefined,
): ColumnPair {
  // PostgreSQL pads character(n) on output; anything but another character(n) would keep the blanks.
  const trim = from.type === 'bpchar' && into.type !== 'bpchar';
  return {
    source: from.name,
    target: into.name,
    type: into.type,
    sourceType: from.type,
    lens,
    map: trim ? (value) => map(value.trimEnd()) : map,
    needed: into.notNull && !into.hasDefault,
    reference: into.reference && !into.notNull,
  };
}

export function liveTable(schema: LiveSchema, name: TableName): LiveTable {
  const found = schema.get(formatTable(name));
  if (!found) throw new MappingError(`there is no table ${formatTable(name)}`);
  return found;
}

export function liveColumn(table: LiveTable, name: string): LiveColumn {
  const found = table.columns.get(name);
  if (!found) throw new MappingError(`there is no column ${name} in ${formatTable(table)}`);
  return found;
}

function literalText(value: string | number | boolean | null): string | null {
  return value === null ? null : String(value);
}

const IDENTITY = { get: (value: string): string => value, put: (value: string): string => value };

/**
 * Orders tables so that each comes after those its foreign keys point to. Tables in a circle keep
 * the order they were given in.
 */
export function parentsFirst(tables: readonly TableName[], schema: LiveSchema): TableName[] {
  const names = [...new Map(tables.map((table) => [formatTable(table), table])).values()];
  const wanted = new Set(names.map(formatTable));
  const done = new Set<string>();
  const ordered: TableName[] = [];
  const visit = (table: TableName, above: ReadonlySet<string>): void => {
    const label = formatTable(table);
    if (done.has(label) || above.has(label)) return;
    for (const parent of schema.get(label)?.references ?? [])
      if (wanted.has(parent)) visit(parseTableName(parent), new Set([...above, label]));
    if (done.has(label)) return;
    done.add(label);
    ordered.push(table);
  };
  for (const table of names) visit(table, new Set());
  return ordered;
}
