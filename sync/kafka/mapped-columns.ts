// The tables of a capability on one side, with the columns that its flows read.
import type { Client } from 'pg';
import { formatTable, parseTableName } from '../../core/postgres/identifiers.ts';
import type { Capability } from '../../control/definition.ts';
import { mappedTable, type Place } from '../../control/domain/mapped-table.ts';
import type { Owner } from '../../control/domain/phase.ts';
import type { SourceTable } from '../domain/debezium/source.ts';
import { readSourceTables } from './source-tables.ts';

export async function mappedColumns(
  client: Client,
  maps: Capability['tables'],
  side: Owner,
): Promise<SourceTable[]> {
  const needed = new Set<string>();
  const names = new Set<string>();
  for (const map of maps.map(mappedTable)) {
    const tables = map[side];
    for (const table of tables) names.add(table);
    const places: Place[] = [
      ...map.key.map((one) => one[side]),
      // What stays with the monolith comes from nowhere else.
      ...map.links.flatMap((one) => (side === 'service' && one.klass === 'stays' ? [] : one[side])),
      ...(side === 'monolith' ? map.where.map(({ column }) => ({ table: 0, column })) : []),
    ];
    for (const { table, column } of places)
      needed.add(JSON.stringify([formatTable(parseTableName(tables[table] ?? '')), column]));
  }
  const found = await readSourceTables(client, [...names].map(parseTableName));
  return found.map((table) => ({
    ...table,
    columns: table.columns.filter(({ name }) =>
      needed.has(JSON.stringify([formatTable(table), name])),
    ),
  }));
}
