// What the records of our own relays lose of the mapped columns, where they have Debezium's form and not ours.
import { withClient } from '../../core/postgres/connect.ts';
import { formatTable } from '../../core/postgres/identifiers.ts';
import type { Logins } from '../../control/connections.ts';
import type { Capability, Migration } from '../../control/definition.ts';
import { recordForm } from '../../control/kafka-settings.ts';
import { isRelayedTo } from '../../control/kafka-topics.ts';
import type { Owner } from '../../control/domain/phase.ts';
import { checkRecordForm } from '../domain/record-findings.ts';
import { checkRecordKeys, ONE_PARTITION } from '../domain/record-key.ts';
import { DEBEZIUM_DEFAULTS } from '../domain/debezium/source.ts';
import type { Finding } from '../domain/finding.ts';
import { mappedColumns } from './mapped-columns.ts';

/** None but in layout `table`, of what a relay of ours brings from that side. */
export async function checkRecords(
  { changeLog }: Migration,
  id: string,
  capability: Capability,
  side: Owner,
  { capture }: Logins,
): Promise<Finding[]> {
  if (changeLog === 'direct' || changeLog.kafka.layout !== 'table') return [];
  if (side === 'monolith' && !isRelayedTo(capability)) return [];
  const { schemas, modes } = recordForm(changeLog.kafka);
  const found = await withClient(capture, { applicationName: 'banyan-preflight' }, (client) =>
    mappedColumns(client, capability.tables, side),
  );
  const tables = found.map((table) => ({ ...table, label: `${side}'s ${formatTable(table)}` }));
  const where = `records of ${id}`;
  return [
    ...checkRecordForm(where, tables, { ...DEBEZIUM_DEFAULTS, ...modes }, schemas),
    ...(changeLog.kafka.topics.partitions > 1
      ? checkRecordKeys(where, tables, ONE_PARTITION.relay)
      : []),
  ];
}
