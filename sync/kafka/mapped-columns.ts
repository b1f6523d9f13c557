// The tables of a capability on one side, with the columns that its flows read, and the keys of their rows.
import type { Client } from 'pg';
import { formatTable, parseTableName } from '../../core/postgres/identifiers.ts';
import type { Capability } from '../../control/definition.ts';
import { mappedTable, type Place } from '../../control/domain/mapped-table.ts';
import type { Owner } from '../../control/domain/phase.ts';
import type { SourceTable } from '../domain/debezium/source.ts';
import { recordKeyOf, type RowKeys } from '../domain/record-key.ts';
import { readSourceTables } from './source-tables.ts';

export type MappedColumns = SourceTable & { readonly keys: RowKeys };

export async function mappedColumns(
  client: Client,
  maps: Capability['tables'],
  side: Owner,
): Promise<MappedColumns[]> {
  const needed = new Set<string>();
  const names = new Set<string>();
  const keys = new Map<string, string[]>();
  for (const map of maps.map(mappedTable)) {
    const tables = map[side];
    for (const [index, name] of tables.entries()) {
      names.add(name);
      const own = map.key.map((one) => one[side]).filter(({ table }) => table === index);
      keys.set(
        formatTable(parseTableName(name)),
        own.map(({ column }) => column),
      );
    }
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
    keys: { record: recordKeyOf(table), mapped: keys.get(formatTable(table)) ?? [] },
    columns: table.columns.filter(({ name }) =>
      needed.has(JSON.stringify([formatTable(table), name])),
    ),
  }));
}
