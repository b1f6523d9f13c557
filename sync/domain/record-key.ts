// Whether all that happens to a row of the target comes by one partition. A record's key chooses its
// partition, and that is the primary key of its table; the target's row is found by the key of the mapping.
// Where the first is no part of the second, two rows that follow each other under one key of the mapping
// come by different partitions, and nothing says which of them was first.
import { BanyanError } from '../../core/errors.ts';
import { formatTable } from '../../core/postgres/identifiers.ts';
import type { SourceTable } from './debezium/source.ts';
import type { Finding } from './finding.ts';

export interface RowKeys {
  /** Columns of the record's key, in its order; none where records have no key. */
  readonly record: readonly string[];
  /** Columns of the mapping's. */
  readonly mapped: readonly string[];
}

/** The columns of a table that make the key of its records. */
export function recordKeyOf({ columns }: Pick<SourceTable, 'columns'>): string[] {
  return columns
    .filter(({ keyPlace }) => keyPlace !== undefined)
    .sort((a, b) => (a.keyPlace ?? 0) - (b.keyPlace ?? 0))
    .map(({ name }) => name);
}

/** Why several partitions would not keep the order of the target's rows; undefined where they do. */
function scattering({ record, mapped }: RowKeys): string | undefined {
  if (record.every((column) => mapped.includes(column))) return undefined;
  return `its records go to partitions by (${record.join(', ')}), and the mapping finds rows by (${mapped.join(', ')}): of two that have the same key there one after the other, a later change may come first`;
}

interface KeyedTable {
  readonly label: string;
  readonly keys: RowKeys;
}

/** For tables whose topics have several partitions. */
export function checkRecordKeys(
  where: string,
  tables: readonly KeyedTable[],
  instead: string,
): Finding[] {
  return tables.flatMap(({ label, keys }): Finding[] => {
    const reason = scattering(keys);
    if (reason === undefined) return [];
    return [{ severity: 'error', where, what: `${label}: ${reason}`, hint: hintOf(keys, instead) }];
  });
}

/** The same when a flow begins to read. Throws FLOW_STOPPED. */
export function assertRecordKeys(
  tables: readonly SourceTable[],
  keyOf: (table: string) => readonly string[],
  instead: string,
): void {
  for (const table of tables) {
    const label = formatTable(table);
    const keys = { record: recordKeyOf(table), mapped: keyOf(label) };
    const reason = scattering(keys);
    if (reason !== undefined)
      throw new BanyanError('FLOW_STOPPED', `table ${label}: ${reason}`, {
        hint: `${hintOf(keys, instead)} Where the flow has begun, roll the capability back to monolith before, and start its sync anew.`,
      });
  }
}

function hintOf({ record }: RowKeys, instead: string): string {
  return `Map ${record.join(', ')} under key. Or ${instead}.`;
}

/** What to do about a relay's topics, or about a connector's. */
export const ONE_PARTITION = {
  relay:
    "set changeLog.kafka.topics.partitions to 1, with another prefix where the topics are there, or layout to 'changes'",
  connector: 'have the connector write topics of one partition',
} as const;
