// Everything in a database's catalogs that a migration could leave behind, to compare before and after.
import type pg from 'pg';

export async function catalogOf(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ line: string }>(`
    SELECT 'schema ' || nspname AS line FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp)'
    UNION ALL SELECT format('relation %s %s %s %s %s', oid::regclass, relkind, relreplident, relpersistence, relacl)
                FROM pg_class WHERE relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
    UNION ALL SELECT format('trigger %s on %s %s', tgname, tgrelid::regclass, tgenabled) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc WHERE pronamespace::regnamespace::text !~ '^(pg_|information_schema)'
    UNION ALL SELECT 'publication ' || pubname FROM pg_publication
    UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots WHERE database = current_database()
    UNION ALL SELECT format('default privileges %s', defaclacl) FROM pg_default_acl
    ORDER BY line`);
  return rows.map((row) => row.line);
}

/** Replication origins are the server's; these are of the pairs whose flows write to this database. */
export async function originsOf(client: pg.Client, names: readonly string[]): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    'SELECT roname AS name FROM pg_replication_origin WHERE roname = ANY ($1)',
    [names],
  );
  return rows.map((row) => row.name);
}
