// Tables and columns of a mapping as the live schemas have them, and what an edge makes of two of them.
import type { Lens } from '../../control/lenses.ts';
import { withoutBlanks } from '../../core/postgres/text-forms.ts';
import type { LiveColumn, LiveSchema, LiveTable } from '../../core/postgres/catalog.ts';
import { formatTable, type TableName } from '../../core/postgres/identifiers.ts';
import type { TextMap } from './lens.ts';
import { MappingError, type ColumnPair, type TargetColumn } from './mapping.ts';

export function columnPair(
  from: LiveColumn,
  into: LiveColumn,
  map: TextMap,
  lens: Lens | undefined,
): ColumnPair {
  // PostgreSQL pads character(n) on output; anything but another character(n) would keep the blanks.
  const trim =
    from.type === 'bpchar' &&
    (into.type !== 'bpchar' || (lens !== undefined && lens.lens !== 'rename'));
  return {
    ...targetColumn(into),
    source: from.name,
    sourceType: from.type,
    lens,
    map: trim ? (value) => map(withoutBlanks(value)) : map,
  };
}

export function targetColumn(into: LiveColumn): TargetColumn {
  return {
    target: into.name,
    type: into.type,
    needed: into.notNull && !into.hasDefault,
    reference: into.reference && !into.notNull,
    wide: false,
    absent: null,
    ...{ fixed: into.fixed, unequal: into.unequal },
  };
}

export function liveTable(schema: LiveSchema, name: TableName): LiveTable {
  const found = schema.get(formatTable(name));
  if (!found) throw new MappingError(`there is no table ${formatTable(name)}`);
  return found;
}

export function liveColumn(table: LiveTable, name: string): LiveColumn {
  const found = table.columns.get(name);
  if (!found) throw new MappingError(`there is no column ${name} in ${formatTable(table)}`);
  return found;
}
