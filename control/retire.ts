// Closing the monolith's tables for good, with nothing of ours left: the rights to write are revoked
// from everybody, the owner included, who can grant them again if ever it must be.
import {
  parseTableName,
  quoteIdentifier,
  quoteTable,
  type TableName,
} from '../core/postgres/identifiers.ts';
import type { TableMap } from './definition.ts';
import type { Participant } from './participant.ts';
import { partitionsOf } from './table-facts.ts';

const WRITES = 'INSERT, UPDATE, DELETE, TRUNCATE';

export async function closeTables(
  monolith: Participant,
  tables: readonly TableMap[],
): Promise<void> {
  const names: TableName[] = [];
  // A partition has rights of its own.
  for (const name of tables.flatMap((map) => map.monolith).map(parseTableName))
    names.push(name, ...(await partitionsOf(monolith.client, name)));
  for (const name of names) {
    const { rows } = await monolith.client.query<{ grantee: string }>(
      `SELECT DISTINCT CASE WHEN acl.grantee = 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END AS grantee
         FROM pg_class c
        CROSS JOIN LATERAL (
          SELECT * FROM aclexplode(coalesce(c.relacl, acldefault('r', c.relowner)))
          UNION ALL SELECT of_column.* FROM pg_attribute a, aclexplode(a.attacl) AS of_column WHERE a.attrelid = c.oid) AS acl
        WHERE c.oid = to_regclass($1) AND acl.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')`,
      [`${quoteIdentifier(name.schema)}.${quoteIdentifier(name.table)}`],
    );
    // regrole::text is quoted already where it needs to be.
    for (const { grantee } of rows)
      await monolith.client.query(
        `REVOKE ${WRITES} ON ${quoteTable(name)} FROM ${grantee} CASCADE`,
      );
  }
}
