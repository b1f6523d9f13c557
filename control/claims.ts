// Which other capability has a table already, as the databases themselves say: it has its fence there, or
// sends it by its publication. Two definitions, or two names of one capability, must never both have it:
// the second would take down the fence of the first, and overwrite what that has accepted.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import { sqlState } from '../core/postgres/connect.ts';
import { formatTable, parseTableName, quoteTable } from '../core/postgres/identifiers.ts';
import type { FlowPair } from './ends.ts';
import { scalar } from './scalar.ts';
import { markedBy } from './table-facts.ts';

export interface Claim {
  /** `schema.table` */
  readonly table: string;
  readonly capability: string;
}

const CLAIMS = `
SELECT DISTINCT t.name AS table, o.capability
  FROM (SELECT name, to_regclass(quoted)::oid AS oid FROM unnest($2::text[], $3::text[]) AS u(name, quoted)) t
  JOIN banyan.ownership o ON o.capability <> $1
 WHERE ${markedBy('o.capability')}
    OR EXISTS (SELECT 1 FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
                WHERE r.prrelid = t.oid
                  AND p.pubname IN ('banyan_' || replace(o.capability, '-', '_') || '_to',
                                    'banyan_' || replace(o.capability, '-', '_') || '_back'))
 ORDER BY 1, 2`;

/** The tables of a side that another capability, which has not left this database, has. */
export async function claimsOfOthers(
  client: pg.Client,
  capability: string,
  tables: readonly string[],
): Promise<Claim[]> {
  if ((await scalar(client, `SELECT to_regclass('banyan.ownership')`)) === '') return [];
  const names = tables.map(parseTableName);
  try {
    const { rows } = await client.query<Claim>(CLAIMS, [
      capability,
      names.map(formatTable),
      names.map(quoteTable),
    ]);
    return rows;
  } catch (error) {
    // The last capability has just left, and taken the schema along.
    if (['42P01', '3F000'].includes(sqlState(error) ?? '')) return [];
    throw error;
  }
}

/** Of both databases of a capability. */
export async function claimsOn({ to }: FlowPair): Promise<Claim[]> {
  const { source: monolith, target: service } = to;
  return [
    ...(await claimsOfOthers(monolith.client, monolith.capability, monolith.tableNames)),
    ...(await claimsOfOthers(service.client, service.capability, service.tableNames)),
  ];
}

/** Throws PREFLIGHT_FAILED where another capability has one of the tables. */
export async function assertUnclaimed(ends: FlowPair): Promise<void> {
  const claims = await claimsOn(ends);
  const [first] = claims;
  if (!first) return;
  throw new BanyanError('PREFLIGHT_FAILED', claims.map(describeClaim).join('; '), {
    hint: mendClaim(ends.to.source.capability, first),
    details: { claims },
  });
}

export function describeClaim({ table, capability }: Claim): string {
  return `table ${table} is capability "${capability}"'s, by the fence or the publication that this has in the database`;
}

export function mendClaim(capability: string, { capability: other }: Claim): string {
  return `If "${capability}" is "${other}" by a new name: give it the old one back, bring it to the monolith (\`banyan rollback ${other} --to monolith\`), and rename it then. If both exist, only one can have the table.`;
}
