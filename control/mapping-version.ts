// By which mapping something was copied or verified: fingerprints of what a mapping says of the data. What
// one mapping has copied, or found equal, says nothing under another.
import { formatTable, parseTableName } from '../core/postgres/identifiers.ts';
import type { TableMap } from './definition.ts';
import { fingerprintOf } from './definition-version.ts';
import type { Owner } from './domain/phase.ts';

/** Of one table: of all that an owner sends of it, of what stays with it, of which columns move. */
export interface TableVersion {
  readonly owner: string;
  readonly guest: string;
  readonly moved: string;
}

/** Of all tables, in whatever order they are named. */
export function mappingVersion(tables: readonly TableMap[]): string {
  return fingerprintOf(tables.map((map) => versionOf(map).owner).sort());
}

/** By the names of one side's tables, `schema.table`. */
export function tableVersions(
  tables: readonly TableMap[],
  side: Owner,
): ReadonlyMap<string, TableVersion> {
  return new Map(
    tables.flatMap((map) => {
      const version = versionOf(map);
      return map[side].map((name) => [formatTable(parseTableName(name)), version] as const);
    }),
  );
}

function versionOf(map: TableMap): TableVersion {
  const { monolith, service, key, columns, lenses, stays, defaults, where } = map;
  const rows = { monolith, service, key };
  return {
    owner: fingerprintOf({ ...rows, columns, lenses, stays, defaults, where }),
    guest: fingerprintOf({ ...rows, stays }),
    moved: fingerprintOf({
      ...rows,
      from: [...Object.keys(columns), ...lenses.flatMap((lens) => lens.monolith)].sort(),
      into: [
        ...Object.values(columns).map(({ to }) => to),
        ...lenses.flatMap((lens) => lens.service),
      ].sort(),
    }),
  };
}
