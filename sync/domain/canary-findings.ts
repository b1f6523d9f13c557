// What a write canary asks of the tables beyond what the flows do.
import type { LiveSchema } from '../../core/postgres/catalog.ts';
import {
  formatTable,
  parseTableName,
  quoteTable,
  type TableName,
} from '../../core/postgres/identifiers.ts';
import type { Capability } from '../../control/definition.ts';
import type { Finding } from './finding.ts';
import { resolveTable } from './mapping.ts';

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
  for (const map of tables) {
    const identity = (name: TableName, schema: LiveSchema, side: string): void => {
      const live = schema.get(formatTable(name));
      if (live && live.replicaIdentity !== 'full')
        report(
          map.monolith,
          `canary.writes needs the whole old row of each change, and the replica identity of ${formatTable(name)} (${side}) is not full`,
          `ALTER TABLE ${quoteTable(name)} REPLICA IDENTITY FULL.`,
        );
    };
    identity(parseTableName(map.monolith), monolith, 'monolith');
    for (const name of map.service) identity(parseTableName(name), service, 'service');
    const from = monolith.get(formatTable(parseTableName(map.monolith)));
    for (const pair of resolveTable(map).pairs) {
      const column = from?.columns.get(pair.monolith);
      if (pair.klass !== 'moves' || pair.service === 0 || !column) continue;
      if (column.notNull && !column.hasDefault)
        report(
          map.monolith,
          `canary.writes: a row that the service inserts is judged table by table, and ${pair.monolith}, which comes from ${map.service[pair.service] ?? ''}, may not be missing meanwhile`,
          `Give ${pair.monolith} a default, or let it be null; the service's value follows in the same transaction.`,
        );
    }
  }
  return findings;
}
