// What an applier must be allowed to do in a database to write there whatever a flow may bring, and what of
// that it lacks: one list for whoever looks before anything is started, and for whoever is about to give
// the right to write away. A right on a table may be had on each of its columns: which of them an applier
// touches, the next change decides.
import type pg from 'pg';
import { quoteIdentifier, type TableName } from '../core/postgres/identifiers.ts';

export interface ApplierNeeds {
  /** Tables that are written. */
  readonly tables: readonly TableName[];
  /** Tables that lookup lenses ask. */
  readonly lookups: readonly TableName[];
  /** Whether triggers of some of the tables are passed by. */
  readonly skipsTriggers: boolean;
}

export interface MissingRight {
  readonly role: string;
  /** `UPDATE on public.prd`, `USAGE on schema public`. */
  readonly right: string;
  /** What gives it, for whoever owns the table; a function or a parameter is a superuser's to give. */
  readonly sql: string;
}

/** To set an origin up, and to say how old what it writes is. */
const ORIGIN_FUNCTIONS = [
  'create(text)',
  'oid(text)',
  'session_setup(text)',
  'xact_setup(pg_lsn, timestamptz)',
  'xact_reset()',
].map((signature) => `pg_catalog.pg_replication_origin_${signature}`);

/** Tables that are not there lack nothing: others tell of them. */
const LACKING = `
WITH asked AS (
  SELECT c.oid, n.oid AS schema, n.nspname, c.relname, bool_or(o.written) AS written
    FROM unnest($2::text[], $3::text[], $4::boolean[]) AS o(schema, name, written)
    JOIN pg_namespace n ON n.nspname = o.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = o.name
   GROUP BY c.oid, n.oid, n.nspname, c.relname)
SELECT DISTINCT 'USAGE' AS "right", 'schema ' || nspname AS what, format('SCHEMA %I', nspname) AS target FROM asked
 WHERE NOT has_schema_privilege($1::name, schema, 'USAGE')
UNION ALL
SELECT r."right", format('%s.%s', t.nspname, t.relname), format('%I.%I', t.nspname, t.relname)
  FROM asked t CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS r("right")
 WHERE (t.written OR r."right" = 'SELECT') AND NOT has_table_privilege($1::name, t.oid, r."right")
   AND CASE WHEN r."right" = 'DELETE' THEN true ELSE EXISTS (
     SELECT FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
        AND (a.attgenerated = '' OR r."right" = 'SELECT')
        AND NOT has_column_privilege($1::name, t.oid, a.attnum, r."right")) END
UNION ALL
SELECT 'EXECUTE', f, 'FUNCTION ' || f FROM unnest($5::text[]) AS f WHERE NOT has_function_privilege($1::name, f, 'EXECUTE')
UNION ALL
SELECT 'SET', 'parameter ' || p, 'PARAMETER ' || p FROM unnest(ARRAY['session_replication_role']) AS p
 WHERE $6::boolean AND NOT has_parameter_privilege($1::name, p, 'SET')`;

/** Asked by any login of the database, of any role. */
export async function lackingRights(
  client: pg.ClientBase,
  role: string,
  { tables, lookups, skipsTriggers }: ApplierNeeds,
): Promise<MissingRight[]> {
  const all = [...tables, ...lookups];
  const { rows } = await client.query<{ right: string; what: string; target: string }>(LACKING, [
    role,
    all.map(({ schema }) => schema),
    all.map(({ table }) => table),
    all.map((_, index) => index < tables.length),
    ORIGIN_FUNCTIONS,
    skipsTriggers,
  ]);
  return rows.map(({ right, what, target }) => ({
    role,
    right: `${right} on ${what}`,
    sql: `GRANT ${right} ON ${target} TO ${quoteIdentifier(role)}`,
  }));
}
