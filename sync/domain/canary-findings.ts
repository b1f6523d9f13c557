// What a write canary asks of the tables beyond what the flows do.
import type { LiveSchema } from '../../core/postgres/catalog.ts';
import {
  formatTable,
  parseTableName,
  quoteTable,
  type TableName,
} from '../../core/postgres/identifiers.ts';
import type { Capability } from '../../control/definition.ts';
import { apart, mayCollide, numberingOf, unproven } from '../../control/domain/key-space.ts';
import { mappedTable } from '../../control/domain/mapped-table.ts';
import type { Finding } from './finding.ts';

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
          `ALTER TABLE ${quoteTable(name)} REPLICA IDENTITY FULL${live.partitioned ? ', and the same for each partition, also for those that come: they do not have it from the table' : ''}.`,
        );
    };
    identity(parseTableName(label), monolith, 'monolith');
    for (const name of map.service) identity(parseTableName(name), service, 'service');
    const from = monolith.get(formatTable(parseTableName(label)));
    const numbering = numberingOf(map, { monolith, service });
    if (
      numbering?.monolith &&
      numbering.service &&
      mayCollide(numbering.monolith, numbering.service)
    )
      findings.push({
        severity: 'error',
        where: `${id}: ${label}`,
        what: `canary.writes: both sides number the rows of ${formatTable(parseTableName(label))} by sequences of their own, and give the same number to two rows`,
        hint: apart(numbering.monolith, numbering.service),
      });
    if (unproven(map, { monolith, service }))
      findings.push({
        ...{ severity: 'warning', where: `${id}: ${label}` },
        what: `canary.writes: nothing in the databases proves that both sides give the rows of ${formatTable(parseTableName(label))} different numbers`,
        hint: 'Where applications number rows by themselves (sequences of their own, max + 1), two rows may get the same number, and one of them is lost. Number them apart: even at one side, odd at the other.',
      });
    for (const {
      klass,
      monolith: [place],
      service: [there],
    } of map.links) {
      const column = from?.columns.get(place?.column ?? '');
      if (klass !== 'moves' || !there || there.table === 0 || !column) continue;
      const stated = map.defaults.monolith.some(
        (one) => one.table === 0 && one.column === column.name,
      );
      if (column.notNull && !column.hasDefault && !stated)
        report(
          label,
          `canary.writes: a row that the service inserts is judged table by table, and ${column.name}, which comes from ${map.service[there.table] ?? ''}, may not be missing meanwhile`,
          `Give ${column.name} a value in defaults.monolith, or let it be null; the service's value follows in the same transaction.`,
        );
    }
  }
  return findings;
}
