// What the schema alone cannot say of a table map: columns in two classes or in tables that it does not
// name, keys that leave a table out, filters that a row of the service could not satisfy.
import type { TableMap } from './definition.ts';
import { literalText, mappedTable, placeOf, type MappedTable } from './domain/mapped-table.ts';
import type { Owner } from './domain/phase.ts';

type Report = (path: string[], message: string) => void;

export function checkTable(map: TableMap, report: Report): void {
  if (map.monolith.length > 1 && map.service.length > 1)
    report([], 'one of "monolith" and "service" is one table: map the others by themselves');
  checkClasses(map, report);
  checkFed(map, report);
  checkKey(map, report);
  checkLenses(map, report);
  checkStays(map, report);
  checkDefaults(map, report);
  checkWhere(map, mappedTable(map), report);
}

/** What a row of the service begins with must be something that the service can show. */
function checkStays(map: TableMap, report: Report): void {
  for (const [name, stay] of Object.entries(map.stays))
    if (stay.lens === 'values' && stay.default !== null && !(String(stay.default) in stay.values))
      report(
        ['stays', name, 'default'],
        `"${String(stay.default)}" is not among ${Object.keys(stay.values).join(', ')}`,
      );
}

/** What stands for a part that is not there must be something that the service can show. */
function checkDefaults(map: TableMap, report: Report): void {
  for (const [name, value] of Object.entries(map.defaults.monolith)) {
    const lens = map.columns[name];
    if (lens?.lens === 'values' && value !== null && !(String(value) in lens.values))
      report(
        ['defaults', 'monolith', name],
        `"${String(value)}" is not among ${Object.keys(lens.values).join(', ')}`,
      );
  }
}

/** A column of the monolith has one class. */
function checkClasses(map: TableMap, report: Report): void {
  const seen = new Map<string, string>();
  const once = (name: string, where: string): void => {
    const { table, column } = placeOf(map.monolith, name);
    if (table < 0) report([where, name], unnamed(name, 'monolith'));
    const place = `${table}.${column}`;
    const before = seen.get(place);
    if (before !== undefined)
      report([where, name], `column ${name} is in "${before}" already: a column has one class`);
    else seen.set(place, where);
  };
  for (const name of Object.keys(map.key)) once(name, 'key');
  for (const name of Object.keys(map.columns)) once(name, 'columns');
  for (const lens of map.lenses) for (const name of lens.monolith) once(name, 'lenses');
  for (const name of Object.keys(map.stays)) once(name, 'stays');
  for (const name of map.shared.monolith) once(name, 'shared');
}

/** A column of the service is fed by one thing. */
function checkFed(map: TableMap, report: Report): void {
  const seen = new Map<string, string>();
  const feed = (to: string, path: string[]): void => {
    const { table, column } = placeOf(map.service, to);
    if (table < 0) report(path, unnamed(to, 'service'));
    const place = `${map.service[table] ?? ''}.${column}`;
    const before = seen.get(place);
    if (before !== undefined) report(path, `service column ${place} is fed by ${before} already`);
    seen.set(place, path.join('.'));
  };
  for (const [name, { to }] of Object.entries(map.columns)) feed(to, ['columns', name]);
  for (const [index, lens] of map.lenses.entries())
    for (const to of lens.service) feed(to, ['lenses', String(index)]);
  for (const [name, { to }] of Object.entries(map.stays)) feed(to, ['stays', name]);
}

function unnamed(name: string, side: Owner): string {
  return `"${name}" names table ${name.slice(0, name.lastIndexOf('.'))}, which is not in "${side}"`;
}

function checkKey(map: TableMap, report: Report): void {
  for (const [name, given] of Object.entries(map.key)) {
    if (typeof given === 'string') continue;
    for (const one of map.service)
      if (given[one] === undefined) report(['key', name], `names no column of ${one}`);
  }
  const { key } = mappedTable(map);
  const columnsOf = (table: number): string[] =>
    key
      .filter(({ monolith, service }) => monolith.table === table && service.table === 0)
      .map(({ service }) => service.column)
      .sort();
  const wanted = columnsOf(0);
  for (const [index, table] of map.monolith.entries())
    if (columnsOf(index).join() !== wanted.join())
      report(
        ['key'],
        `names no column of ${table} for ${wanted.join(', ')}: write '${table}.…': '${wanted[0] ?? ''}'`,
      );
}

function checkLenses(map: TableMap, report: Report): void {
  for (const [index, lens] of map.lenses.entries())
    for (const side of ['monolith', 'service'] as const) {
      const tables = new Set(lens[side].map((name) => placeOf(map[side], name).table));
      if (tables.size > 1)
        report(['lenses', String(index), side], 'the columns of a lens lie in one table a side');
    }
}

function checkWhere(map: TableMap, mapped: MappedTable, report: Report): void {
  if (mapped.where.length > 0 && map.monolith.length > 1)
    report(
      ['where'],
      'a merge takes all rows: the fence of a later table could not tell them apart; map one table with "where", and leave the others to joins or to a capability of their own',
    );
  const moves = new Set([
    ...Object.keys(map.key),
    ...mapped.links.flatMap((link) =>
      link.klass === 'moves' ? link.monolith.map(({ column }) => column) : [],
    ),
  ]);
  for (const { column, values } of mapped.where) {
    // What the service writes there is looked at as it comes.
    if (moves.has(column)) continue;
    const stay = mapped.links.find(
      (link) => link.klass === 'stays' && link.monolith[0]?.column === column,
    );
    const given = stay
      ? stay.fallback
      : mapped.defaults.monolith.find((one) => one.column === column)?.value;
    if (given === undefined)
      report(
        ['where', column],
        `has several values, and rows that the service inserts have none: name one in defaults.monolith`,
      );
    else if (!values.some((value) => literalText(value) === given))
      report(
        ['where', column],
        `rows that the service inserts have ${JSON.stringify(given)} there, which does not belong`,
      );
  }
}
