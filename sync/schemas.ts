// What a flow and a verification look up in the live databases before they begin.
import type pg from 'pg';
import { readSchema } from '../core/postgres/catalog.ts';
import { parseTableName } from '../core/postgres/identifiers.ts';
import type { Capability } from '../control/definition.ts';
import type { Schemas } from './domain/mapping.ts';
import { LiveReferences } from './references.ts';

/** Both live schemas of a capability's tables, and what their lookups ask. */
export async function readSchemas(
  capability: Capability,
  monolith: pg.Client,
  service: pg.Client,
  references = new LiveReferences(capability),
): Promise<Schemas & { readonly references: LiveReferences }> {
  const names = (tables: readonly string[]) => tables.map(parseTableName);
  await references.load({ monolith, service });
  return {
    references,
    monolith: await readSchema(
      monolith,
      names(capability.tables.flatMap((table) => table.monolith)),
    ),
    service: await readSchema(service, names(capability.tables.flatMap((table) => table.service))),
  };
}

export async function databaseOf(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ name: string }>('SELECT current_database()::text AS name');
  return rows[0]?.name ?? '';
}
