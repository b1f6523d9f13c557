// Holds a mapping against both live schemas: columns that are not there, keys that are none, rows that
// could not be inserted. Findings are values; the shell decides what to do about them.
import type { LiveColumn, LiveSchema, LiveTable } from '../../core/postgres/catalog.ts';
import {
  formatTable,
  nameMeant,
  parseTableName,
  quoteIdentifier,
  quoteTable,
} from '../../core/postgres/identifiers.ts';
import type { Capability } from '../../control/definition.ts';
import {
  mappedTable,
  oneWayReason,
  referencesOf,
  type MappedTable,
  type Place,
} from '../../control/domain/mapped-table.ts';
import type { Owner } from '../../control/domain/phase.ts';
import type { Reference } from '../../control/lenses.ts';
import { checkFilter } from './filter-findings.ts';
import type { Finding } from './finding.ts';
import { checkKeySpace } from './key-space.ts';
import { checkScales } from './lens-types.ts';
import { checkRisks } from './risks.ts';

type Report = (what: string, hint: string) => void;

/** The mapping of one capability against both schemas. */
export function checkMapping(
  id: string,
  capability: Capability,
  monolith: LiveSchema,
  service: LiveSchema,
): Finding[] {
  const findings: Finding[] = [];
  const schemas = { monolith, service };
  for (const reference of referencesOf(capability.tables)) {
    const where = `${id}: lookup in ${reference.table}`;
    findings.push(...checkReference(reference, schemas[reference.side], where));
  }
  const oneWay = oneWayReason(capability.tables);
  if (oneWay !== undefined)
    findings.push({
      ...{ severity: 'warning', where: id, what: oneWay },
      hint: 'It can go as far as shadow. Give the lens a put that undoes its get to go further.',
    });
  for (const map of capability.tables.map(mappedTable)) {
    const report =
      (severity: Finding['severity']): Report =>
      (what, hint) => {
        const where = `${id}: ${map.monolith.join(', ')}`;
        findings.push({ severity, where, what, hint });
      };
    for (const side of ['monolith', 'service'] as const)
      for (const [index, name] of map[side].entries()) {
        const live = schemas[side].get(formatTable(parseTableName(name)));
        if (!live) continue;
        checkTable(map, side, index, live, report('error'));
        if (side === 'monolith') {
          checkUnmapped(map, index, live, report('warning'));
          checkSplit(map, index, live, report('warning'));
        }
      }
    checkStays(map, monolith, report('error'));
    checkFilter(map, monolith, report('error'));
    findings.push(
      ...checkKeySpace(`${id}: ${map.monolith.join(', ')}`, map, schemas),
      ...checkScales(`${id}: ${map.monolith.join(', ')}`, map, schemas),
      ...checkRisks(id, capability, map, schemas),
    );
  }
  return findings;
}

function checkTable(
  map: MappedTable,
  side: Owner,
  index: number,
  live: LiveTable,
  report: Report,
): void {
  const key = new Set(
    here(
      map.key.map((link) => link[side]),
      index,
    ),
  );
  const filled = [
    ...key,
    ...here(
      map.links.flatMap((link) => link[side]),
      index,
    ),
    ...here(map.defaults[side], index),
  ];
  if (live.heirs.length > 0)
    report(
      `${live.heirs.join(', ')} inherits from ${formatTable(live)} (${side})`,
      'Its rows show in the mapped table, are no changes of it, and meet none of its triggers: no fence would stand there. Make it a partition, or take it off: ALTER TABLE … NO INHERIT ….',
    );
  const where = side === 'monolith' ? map.where.map(({ column }) => column) : [];
  checkColumns(live, [...filled, ...here(map.shared[side], index), ...where], report);
  // A key with a misspelt column says nothing of the table's.
  if ([...key].every((column) => live.columns.has(column))) checkKey(live, [...key], report);
  if (side === 'service') checkParts(map, index, live, report);
  // What is misspelt has been told of, and is meant to be filled.
  const meant = filled.map((column) => nameMeant(column, live.columns.keys()) ?? column);
  checkFilled(live, new Set([...filled, ...meant]), `defaults.${side}`, report);
}

/** What a later table of a merge feeds is NULL where that has no row. */
function checkParts(map: MappedTable, index: number, live: LiveTable, report: Report): void {
  for (const { monolith, service } of map.links) {
    const later = monolith[0]?.table ?? 0;
    if (later === 0) continue;
    for (const column of here(service, index))
      if (lacksValue(map, 'service', index, live.columns.get(column)))
        report(
          `column ${column} of ${formatTable(live)} is not null, and comes from ${map.monolith[later] ?? ''}, which may have no row`,
          `Give it a value in defaults.service, which it has then; or ALTER TABLE ${quoteTable(live)} ALTER COLUMN ${quoteIdentifier(column)} DROP NOT NULL.`,
        );
  }
}

/** What a later table of a split feeds would have to be NULL where the service deletes that row alone. */
function checkSplit(map: MappedTable, index: number, live: LiveTable, warn: Report): void {
  for (const { klass, monolith, service } of map.links) {
    const later = service[0]?.table ?? 0;
    if (later === 0 || klass === 'stays') continue;
    for (const column of here(monolith, index))
      if (lacksValue(map, 'monolith', index, live.columns.get(column)))
        warn(
          `column ${column} of ${formatTable(live)} is not null, and comes from ${map.service[later] ?? ''}: where the service deletes that row and keeps the others, the change is parked`,
          `Give it a value in defaults.monolith, which it has then; or ALTER TABLE ${quoteTable(live)} ALTER COLUMN ${quoteIdentifier(column)} DROP NOT NULL; or see that the service deletes it with the others only.`,
        );
  }
}

/** Whether neither the mapping nor a default says what a column that may not be null holds where nothing feeds it. */
function lacksValue(map: MappedTable, side: Owner, table: number, live?: LiveColumn): boolean {
  if (!live?.notNull || live.constant !== null) return false;
  return !map.defaults[side].some(
    (one) => one.table === table && one.column === live.name && one.value !== null,
  );
}

/** The columns of one table among places on its side. */
function here(places: readonly Place[], table: number): string[] {
  return places.filter((place) => place.table === table).map((place) => place.column);
}

function checkUnmapped(map: MappedTable, index: number, live: LiveTable, warn: Report): void {
  const named = new Set([
    ...here(
      map.key.map((link) => link.monolith),
      index,
    ),
    ...here(
      map.links.flatMap((link) => link.monolith),
      index,
    ),
    ...here(map.defaults.monolith, index),
    ...here(map.shared.monolith, index),
    ...map.where.map(({ column }) => column),
  ]);
  for (const column of live.columns.values())
    if (!named.has(column.name) && !column.generated)
      warn(
        `column ${column.name} of ${formatTable(live)} is mapped nowhere: it does not reach the service`,
        'Map it under columns or stays, or name it under shared.monolith when that is meant.',
      );
}

function checkStays(map: MappedTable, monolith: LiveSchema, report: Report): void {
  for (const { klass, fallback, monolith: places, service } of map.links) {
    if (klass !== 'stays' || fallback !== null) continue;
    for (const { table, column } of places)
      if (monolith.get(labelOf(map, table))?.columns.get(column)?.notNull)
        report(
          `column ${column} stays with the monolith, is not null, and has no value for rows that the service inserts`,
          `Write stays: { ${column}: { to: '${service[0]?.column ?? ''}', default: … } }.`,
        );
  }
}

function checkReference(reference: Reference, schema: LiveSchema, where: string): Finding[] {
  const live = schema.get(formatTable(parseTableName(reference.table)));
  if (!live) return [];
  return [reference.monolith, reference.service].flatMap((column): Finding[] => {
    if (!live.columns.has(column))
      return [
        {
          ...{ severity: 'error', where, what: `there is no column ${column}` },
          hint: columnsOf(column, live),
        },
      ];
    const isUnique = [live.primaryKey, ...live.uniqueKeys].some(
      (key) => key.length === 1 && key[0] === column,
    );
    if (isUnique) return [];
    return [
      {
        ...{ severity: 'warning', where, what: `${column} is not unique by a constraint` },
        hint: 'A value that is there twice cannot be inverted and stops the flow. Make it unique.',
      },
    ];
  });
}

function labelOf(map: MappedTable, table: number): string {
  return formatTable(parseTableName(map.monolith[table] ?? ''));
}

function checkColumns(table: LiveTable, columns: readonly string[], report: Report): void {
  for (const column of new Set(columns)) {
    const live = table.columns.get(column);
    if (!live)
      report(`there is no column ${column} in ${formatTable(table)}`, columnsOf(column, table));
    else if (live.generated)
      report(
        `column ${column} of ${formatTable(table)} is generated`,
        'Leave it out: each side computes its own.',
      );
  }
}

/** What a table has in place of a column that it has not. */
function columnsOf(missing: string, { columns }: LiveTable): string {
  const meant = nameMeant(missing, columns.keys());
  const correct =
    meant === undefined
      ? ''
      : `Write ${meant}: names are as the catalog has them, without quotes. `;
  return `${correct}Its columns are: ${[...columns.keys()].join(', ')}.`;
}

function checkKey(table: LiveTable, key: readonly string[], report: Report): void {
  const same = (columns: readonly string[]): boolean =>
    columns.length === key.length && columns.every((column) => key.includes(column));
  const where = formatTable(table);
  if (table.primaryKey.length === 0 && table.uniqueKeys.length === 0)
    report(
      `table ${where} has no primary key${table.deferrableKey ? ' but a DEFERRABLE one, by which neither replication nor an upsert goes' : ''}`,
      `${table.deferrableKey ? 'Drop it, and add' : 'Add'} one: ALTER TABLE ${quoteTable(table)} ADD PRIMARY KEY (${key.map(quoteIdentifier).join(', ')}).`,
    );
  else if (!same(table.primaryKey) && !table.uniqueKeys.some(same))
    report(
      `the key (${key.join(', ')}) of the mapping is not unique in ${where}`,
      uniqueInstead(table, key),
    );
  for (const column of key)
    if (table.columns.get(column)?.notNull === false)
      report(
        `key column ${column} of ${where} may be null`,
        `ALTER TABLE ${quoteTable(table)} ALTER COLUMN ${quoteIdentifier(column)} SET NOT NULL.`,
      );
  const hasKey = table.primaryKey.length > 0 || table.uniqueKeys.length > 0;
  // Without a primary key the default identity is none, and a published table takes no update then.
  if (
    table.replicaIdentity === 'nothing' ||
    (table.replicaIdentity === 'index' &&
      !key.every((column) => table.identityIndex.includes(column))) ||
    (table.replicaIdentity === 'default' &&
      hasKey &&
      !key.every((column) => table.primaryKey.includes(column)))
  )
    report(
      `the replica identity of ${where} does not hold the key`,
      `${table.uniqueKeys.some(same) ? `ALTER TABLE ${quoteTable(table)} REPLICA IDENTITY USING INDEX, of that key; or: ` : ''}ALTER TABLE ${quoteTable(table)} REPLICA IDENTITY FULL${table.partitioned ? ', and the same for each partition: they do not have it from the table' : ''}.`,
    );
}

function uniqueInstead(table: LiveTable, key: readonly string[]): string {
  const [own = [], kind] =
    table.primaryKey.length > 0
      ? [table.primaryKey, 'primary key']
      : [table.uniqueKeys[0], 'unique key'];
  return `Its ${kind} is (${own.join(', ')}): map that under key, or make the other one unique: ALTER TABLE ${quoteTable(table)} ADD UNIQUE (${key.map(quoteIdentifier).join(', ')}).`;
}

function checkFilled(
  table: LiveTable,
  filled: ReadonlySet<string>,
  where: string,
  report: Report,
): void {
  for (const column of table.columns.values())
    if (column.notNull && !column.hasDefault && !column.generated && !filled.has(column.name))
      report(
        `column ${column.name} of ${formatTable(table)} is not null, has no default and nothing fills it`,
        `Map it, or give it a value in ${where}.`,
      );
}
