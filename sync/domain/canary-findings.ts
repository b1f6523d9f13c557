// What a write canary asks of the tables beyond what the flows do.
import type { LiveSchema, LiveTable } from '../../core/postgres/catalog.ts';
import {
  formatTable,
  parseTableName,
  quoteTable,
  type TableName,
} from '../../core/postgres/identifiers.ts';
import type { Capability } from '../../control/definition.ts';
import { mappedTable, type MappedTable } from '../../control/domain/mapped-table.ts';
import type { Finding } from './finding.ts';

/** The sequences that number a table's rows on both sides, where it has such. */
function numbering(
  { key }: MappedTable,
  monolith: LiveTable | undefined,
  into: LiveTable | undefined,
): { readonly monolith: string; readonly service: string } | undefined {
  for (const link of key) {
    if (link.monolith.table > 0 || link.service.table > 0) continue;
    const mine = monolith?.columns.get(link.monolith.column)?.sequence;
    const theirs = into?.columns.get(link.service.column)?.sequence;
    if (mine && theirs) return { monolith: mine, service: theirs };
  }
  return undefined;
}

/** Nothing where the capability has no `canary.writes`. */
export function checkCanary(
  id: string,
  { canary, tables }: Capability,
  monolith: LiveSchema,
  service: LiveSchema,
): Finding[] {
  if (!canary.writes) return [];
  const findings: Finding[] = [];
  const report = (table: string, what: string, hint: string): void => {
    findings.push({ severity: 'error', where: `${id}: ${table}`, what, hint });
  };
  for (const map of tables.map(mappedTable)) {
    const label = map.monolith[0] ?? '';
    const identity = (name: TableName, schema: LiveSchema, side: string): void => {
      const live = schema.get(formatTable(name));
      if (live && live.replicaIdentity !== 'full')
        report(
          label,
          `canary.writes needs the whole old row of each change, and the replica identity of ${formatTable(name)} (${side}) is not full`,
          `ALTER TABLE ${quoteTable(name)} REPLICA IDENTITY FULL.`,
        );
    };
    identity(parseTableName(label), monolith, 'monolith');
    for (const name of map.service) identity(parseTableName(name), service, 'service');
    const from = monolith.get(formatTable(parseTableName(label)));
    const numbers = numbering(
      map,
      from,
      service.get(formatTable(parseTableName(map.service[0] ?? ''))),
    );
    if (numbers)
      findings.push({
        severity: 'warning',
        where: `${id}: ${label}`,
        what: `canary.writes: both sides number the rows of ${formatTable(parseTableName(label))} by sequences of their own, and give the same number to two rows`,
        hint: `Even numbers at the monolith: ALTER SEQUENCE ${numbers.monolith} INCREMENT BY 2; SELECT setval('${numbers.monolith}', (last_value / 2 + 1) * 2) FROM ${numbers.monolith}. Odd ones at the service: ALTER SEQUENCE ${numbers.service} INCREMENT BY 2; SELECT setval('${numbers.service}', (greatest(last_value, the monolith's) / 2 + 1) * 2 + 1) FROM ${numbers.service}.`,
      });
    for (const {
      klass,
      monolith: [place],
      service: [there],
    } of map.links) {
      const column = from?.columns.get(place?.column ?? '');
      if (klass !== 'moves' || !there || there.table === 0 || !column) continue;
      if (column.notNull && !column.hasDefault)
        report(
          label,
          `canary.writes: a row that the service inserts is judged table by table, and ${column.name}, which comes from ${map.service[there.table] ?? ''}, may not be missing meanwhile`,
          `Give ${column.name} a default, or let it be null; the service's value follows in the same transaction.`,
        );
    }
  }
  return findings;
}
