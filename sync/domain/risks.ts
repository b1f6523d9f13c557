// What works today and may be refused, lost or surprising tomorrow: warnings that a team decides on
// before it begins.
import type { LiveTable } from '../../core/postgres/catalog.ts';
import { formatTable, parseTableName } from '../../core/postgres/identifiers.ts';
import type { Capability } from '../../control/definition.ts';
import type { Finding } from './finding.ts';
import type { ResolvedPair, ResolvedTable, Schemas } from './mapping.ts';
import { misfit } from './widths.ts';

/** The risks of one mapped table, on both sides of it. */
export function checkRisks(
  id: string,
  { tables }: Capability,
  resolved: ResolvedTable,
  schemas: Schemas,
): Finding[] {
  const findings: Finding[] = [];
  const where = `${id}: ${resolved.map.monolith}`;
  const warn = (what: string, hint: string): void => {
    findings.push({ severity: 'warning', where, what, hint });
  };
  const monolith = schemas.monolith.get(formatTable(resolved.monolith));
  const services = resolved.services.map((name) => schemas.service.get(formatTable(name)));
  const mapped = {
    monolith: names(tables.map((table) => table.monolith)),
    service: names(tables.flatMap((table) => table.service)),
  };
  if (!monolith) return findings;
  widths(resolved, monolith, services, warn);
  for (const [table, own, side] of [
    [monolith, mapped.monolith, 'monolith'] as const,
    ...services.map((table) => [table, mapped.service, 'service'] as const),
  ]) {
    if (!table) continue;
    for (const trigger of table.triggers)
      warn(
        `trigger ${trigger} of ${formatTable(table)} (${side}) fires for what sync writes there`,
        'What it writes into mapped columns does not travel back. Let it leave those alone, or do nothing in a session whose application_name begins with banyan-apply.',
      );
    for (const foreignKey of table.inbound)
      if (!own.has(foreignKey.slice(0, foreignKey.lastIndexOf('.'))))
        warn(
          `foreign key ${foreignKey} points to ${formatTable(table)} (${side}) from a table that is not mapped`,
          'A row that the other side deletes is refused here while it is pointed to: the change is parked then. ON DELETE CASCADE or SET NULL lets it through.',
        );
  }
  uniqueness(resolved, monolith, services, warn);
  return findings;
}

type Warn = (what: string, hint: string) => void;

function names(tables: readonly string[]): Set<string> {
  return new Set(tables.map((table) => formatTable(parseTableName(table))));
}

/** Values that do not fit into the other side's type. A lens changes the value: its range is not known. */
function widths(
  { pairs }: ResolvedTable,
  monolith: LiveTable,
  services: readonly (LiveTable | undefined)[],
  warn: Warn,
): void {
  for (const pair of pairs) {
    const left = monolith.columns.get(pair.monolith);
    const right = services[pair.service]?.columns.get(pair.column);
    if (!left || !right || (pair.lens && pair.lens.lens !== 'rename')) continue;
    const hint =
      'A value that does not fit is parked, or rounded. Widen the column, or see that no such value comes.';
    const forth = misfit(left.fullType, right.fullType);
    if (forth !== undefined)
      warn(
        `${pair.monolith} (${left.fullType}) → ${pair.column} (${right.fullType}): ${forth}`,
        hint,
      );
    const back = pair.klass === 'stays' ? undefined : misfit(right.fullType, left.fullType);
    if (back !== undefined)
      warn(
        `${pair.column} (${right.fullType}) → ${pair.monolith} (${left.fullType}), on the way back: ${back}`,
        hint,
      );
  }
}

/** What one side allows twice and the other only once. */
function uniqueness(
  { pairs }: ResolvedTable,
  monolith: LiveTable,
  services: readonly (LiveTable | undefined)[],
  warn: Warn,
): void {
  const across = (
    key: readonly string[],
    of: (pair: ResolvedPair) => string,
    to: (pair: ResolvedPair) => string,
    own: readonly ResolvedPair[],
  ): string[] | undefined => {
    const there = key
      .map((column) => own.find((pair) => of(pair) === column))
      .map((pair) => pair && to(pair));
    return there.every((column) => column !== undefined) ? there : undefined;
  };
  const same = (a: readonly string[], b: readonly string[]): boolean =>
    a.length === b.length && a.every((column) => b.includes(column));
  const lacks = (table: LiveTable, key: readonly string[]): boolean =>
    ![table.primaryKey, ...table.uniqueKeys].some((one) => same(one, key));
  services.forEach((service, index) => {
    if (!service) return;
    const own = pairs.filter((pair) => pair.service === index);
    const tell = (strict: LiveTable, key: readonly string[], loose: LiveTable): void => {
      warn(
        `unique (${key.join(', ')}) of ${formatTable(strict)} has no counterpart in ${formatTable(loose)}`,
        'Rows that are allowed there are refused here, and parked. Make it unique on both sides, or on none.',
      );
    };
    for (const key of service.uniqueKeys) {
      const there = across(
        key,
        (pair) => pair.column,
        (pair) => pair.monolith,
        own,
      );
      if (there && lacks(monolith, there)) tell(service, key, monolith);
    }
    for (const key of monolith.uniqueKeys) {
      const there = across(
        key,
        (pair) => pair.monolith,
        (pair) => pair.column,
        own,
      );
      if (there && lacks(service, there)) tell(monolith, key, service);
    }
  });
}
