// What a coordinator must be allowed to do with the sequences that it raises: to see where one stands, and to set
// it. The role that owns the tables need not own them, and a default asks for less than either.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import { quoteIdentifier } from '../core/postgres/identifiers.ts';
import type { MissingRight } from './applier-rights.ts';
import { findSequences, type Asked, type SequencePlan } from './sequences.ts';

type Right = 'SELECT' | 'UPDATE';

/** Of the login that asks. */
const LACKING = `
WITH asked AS (
  SELECT s.oid, n.oid AS schema, n.nspname, format('%I.%I', n.nspname, s.relname) AS name
    FROM pg_class s JOIN pg_namespace n ON n.oid = s.relnamespace
   WHERE s.relkind = 'S' AND format('%I.%I', n.nspname, s.relname) = ANY ($1))
SELECT DISTINCT current_user::text AS role, 'USAGE' AS "right", 'schema ' || nspname AS what, format('SCHEMA %I', nspname) AS target
  FROM asked WHERE NOT has_schema_privilege(schema, 'USAGE')
UNION ALL
SELECT DISTINCT current_user::text, r."right", 'sequence ' || name, 'SEQUENCE ' || name
  FROM asked CROSS JOIN unnest($2::text[]) AS r("right") WHERE NOT has_sequence_privilege(oid, r."right")
 ORDER BY 2 DESC, 3`;

/** What the coordinator lacks to make a side the owner: empty where it lacks nothing. */
export async function lackingToRaise(side: Asked): Promise<MissingRight[]> {
  const plans = await findSequences(side.tables, side, side);
  const names = plans.map(({ sequence }) => sequence);
  return lacking(side.client, names, ['SELECT', 'UPDATE']);
}

/** Throws PREFLIGHT_FAILED where these cannot be raised: found now, nobody is held for it. */
export async function assertRaisable(
  plans: readonly SequencePlan[],
  next: Asked,
  previous: Asked,
): Promise<void> {
  const own = plans.map(({ sequence }) => sequence);
  const others = plans.flatMap(({ otherSequence }) => otherSequence ?? []);
  const missing = [
    ...(await lacking(next.client, own, ['SELECT', 'UPDATE'])),
    ...(await lacking(previous.client, others, ['SELECT'])),
  ];
  if (missing.length === 0) return;
  throw new BanyanError(
    'PREFLIGHT_FAILED',
    `the sequences of the ${next.side} cannot be raised: ${missing.map(({ role, right }) => `${role} lacks ${right}`).join('; ')}`,
    { hint: `${missing.map(({ sql }) => sql).join('; ')} (see \`banyan grants\`).` },
  );
}

async function lacking(
  client: pg.Client,
  sequences: readonly string[],
  rights: readonly Right[],
): Promise<MissingRight[]> {
  if (sequences.length === 0) return [];
  type Row = Pick<MissingRight, 'role' | 'right'> & { readonly what: string; target: string };
  const { rows } = await client.query<Row>(LACKING, [[...new Set(sequences)], rights]);
  return rows.map(({ role, right, what, target }) => ({
    role,
    right: `${right} on ${what}`,
    sql: `GRANT ${right} ON ${target} TO ${quoteIdentifier(role)}`,
  }));
}
