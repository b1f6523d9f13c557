// Holds a mapping against both live schemas: columns that are not there, keys that are none, rows that
// could not be inserted. Findings are values; the shell decides what to do about them.
import type { LiveSchema, LiveTable } from '../../core/postgres/catalog.ts';
import { formatTable, quoteIdentifier, quoteTable } from '../../core/postgres/identifiers.ts';
import type { Capability } from '../../control/definition.ts';
import { resolveTable, type ResolvedTable } from './mapping.ts';
import type { Finding } from './finding.ts';
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
  for (const map of capability.tables) {
    const resolved = resolveTable(map);
    const from = monolith.get(formatTable(resolved.monolith));
    if (!from) continue;
    const report = (what: string, hint: string): void => {
      findings.push({ severity: 'error', where: `${id}: ${map.monolith}`, what, hint });
    };
    const pairs = resolved.pairs;
    checkColumns(
      from,
      [
        ...pairs.map((pair) => pair.monolith),
        ...map.shared.monolith,
        ...Object.keys(map.defaults.monolith),
      ],
      report,
    );
    checkKey(
      from,
      pairs
        .filter((pair) => pair.klass === 'key' && pair.service === 0)
        .map((pair) => pair.monolith),
      report,
    );
    const filled = new Set([
      ...pairs.map((pair) => pair.monolith),
      ...Object.keys(map.defaults.monolith),
    ]);
    checkFilled(from, filled, `defaults.monolith`, report);
    const named = new Set([...filled, ...map.shared.monolith]);
    for (const column of from.columns.values())
      if (!named.has(column.name) && !column.generated)
        findings.push({
          severity: 'warning',
          where: `${id}: ${map.monolith}`,
          what: `column ${column.name} of ${formatTable(from)} is mapped nowhere: it does not reach the service`,
          hint: 'Map it under columns or stays, or name it under shared.monolith when that is meant.',
        });
    resolved.services.forEach((name, index) => {
      const into = service.get(formatTable(name));
      if (into) checkServiceTable(resolved, index, into, report);
    });
    findings.push(...checkRisks(id, capability, resolved, { monolith, service }));
    for (const stay of pairs.filter((pair) => pair.klass === 'stays' && pair.fallback === null))
      if (from.columns.get(stay.monolith)?.notNull)
        report(
          `column ${stay.monolith} stays with the monolith, is not null, and has no value for rows that the service inserts`,
          `Write stays: { ${stay.monolith}: { to: '${stay.column}', default: … } }.`,
        );
  }
  return findings;
}

function checkServiceTable(
  { map, pairs }: ResolvedTable,
  index: number,
  into: LiveTable,
  report: Report,
): void {
  const own = pairs.filter((pair) => pair.service === index);
  const defaults = Object.keys(map.defaults.service)
    .filter((column) =>
      column.includes('.') ? column.startsWith(`${map.service[index] ?? ''}.`) : index === 0,
    )
    .map((column) => column.slice(column.lastIndexOf('.') + 1));
  const shared = index === 0 ? map.shared.service : [];
  checkColumns(into, [...own.map((pair) => pair.column), ...defaults, ...shared], report);
  checkKey(
    into,
    own.filter((pair) => pair.klass === 'key').map((pair) => pair.column),
    report,
  );
  checkFilled(
    into,
    new Set([...own.map((pair) => pair.column), ...defaults]),
    'defaults.service',
    report,
  );
}

function checkColumns(table: LiveTable, columns: readonly string[], report: Report): void {
  for (const column of new Set(columns)) {
    const live = table.columns.get(column);
    if (!live)
      report(
        `there is no column ${column} in ${formatTable(table)}`,
        `Its columns are: ${[...table.columns.keys()].join(', ')}.`,
      );
    else if (live.generated)
      report(
        `column ${column} of ${formatTable(table)} is generated`,
        'Leave it out: each side computes its own.',
      );
  }
}

function checkKey(table: LiveTable, key: readonly string[], report: Report): void {
  const same = (columns: readonly string[]): boolean =>
    columns.length === key.length && columns.every((column) => key.includes(column));
  const where = formatTable(table);
  if (table.primaryKey.length === 0 && table.uniqueKeys.length === 0)
    report(
      `table ${where} has no primary key`,
      `Add one: ALTER TABLE ${quoteTable(table)} ADD PRIMARY KEY (${key.map(quoteIdentifier).join(', ')}).`,
    );
  else if (!same(table.primaryKey) && !table.uniqueKeys.some(same))
    report(
      `the key (${key.join(', ')}) of the mapping is not unique in ${where}`,
      `Its primary key is (${table.primaryKey.join(', ')}).`,
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
      `ALTER TABLE ${quoteTable(table)} REPLICA IDENTITY FULL.`,
    );
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
