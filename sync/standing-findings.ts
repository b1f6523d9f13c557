// What stands in the databases already and does not go with the definition: tables that another capability
// has, sequences that a switch could not raise, and fences and a publication that were made for other tables
// than the mapping names now.
import type pg from 'pg';
import { rawRows, withClient } from '../core/postgres/connect.ts';
import { formatTable, parseTableName } from '../core/postgres/identifiers.ts';
import { claimsOfOthers, describeClaim, mendClaim } from '../control/claims.ts';
import type { Logins } from '../control/connections.ts';
import type { Capability } from '../control/definition.ts';
import { lackingToRaise } from '../control/sequence-rights.ts';
import { markedTables } from '../control/table-facts.ts';
import { flowNames } from '../control/domain/names.ts';
import type { Owner } from '../control/domain/phase.ts';
import type { Finding } from './domain/finding.ts';

const SESSION = { applicationName: 'banyan-preflight' };

export async function checkStanding(
  id: string,
  { service, tables }: Capability,
  sides: Readonly<Record<Owner, Logins>>,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const side of ['monolith', 'service'] as const) {
    const where = side === 'monolith' ? 'monolith' : `service ${service}`;
    const names = tables.flatMap((map) => map[side]);
    await withClient(sides[side].coordinator, SESSION, async (client) => {
      for (const claim of await claimsOfOthers(client, id, names))
        findings.push({
          ...{ severity: 'error', where, what: describeClaim(claim) },
          hint: mendClaim(id, claim),
        });
      const asked = { client, side, tables, tableNames: names };
      for (const { role, right, sql } of await lackingToRaise(asked))
        findings.push({
          ...{ severity: 'error', where },
          what: `the coordinator ${role} lacks ${right}: it could not be raised when the ${side} is to own`,
          hint: `${sql} (see \`banyan grants\`).`,
        });
      findings.push(...(await checkMarked(client, id, names)).map((one) => ({ where, ...one })));
      for (const finding of await checkPublication(client, id, side, names))
        findings.push({ where, ...finding });
    });
  }
  return findings;
}

/** Fences of tables that have left the mapping. */
async function checkMarked(
  client: pg.Client,
  id: string,
  tables: readonly string[],
): Promise<Omit<Finding, 'where'>[]> {
  const mapped = tables.map((name) => formatTable(parseTableName(name)));
  const marked = (await markedTables(client, id)).map(formatTable);
  return marked
    .filter((name) => !mapped.includes(name))
    .map((name) => ({
      severity: 'warning',
      what: `table ${name} is mapped no more, and still has its fence of capability "${id}"`,
      hint: `It goes when the capability is in the monolith again (\`banyan rollback ${id} --to monolith\`).`,
    }));
}

/** Where no flow runs, or a relay brings the changes, there is none, and nothing to compare. */
async function checkPublication(
  client: pg.Client,
  id: string,
  side: Owner,
  tables: readonly string[],
): Promise<Omit<Finding, 'where'>[]> {
  const direction = side === 'monolith' ? 'to' : 'back';
  const { publication } = flowNames(id, direction, { source: '', target: '' });
  const rows = await rawRows(
    client,
    `SELECT n.nspname, c.relname FROM pg_publication p LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid
       LEFT JOIN pg_class c ON c.oid = r.prrelid LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE p.pubname = $1 AND NOT p.puballtables ORDER BY 1, 2`,
    [publication],
  );
  if (rows.length === 0) return [];
  const sent = rows.flatMap(([schema, table]) =>
    schema === null || schema === undefined ? [] : formatTable({ schema, table: table ?? '' }),
  );
  const mapped = tables.map((name) => formatTable(parseTableName(name)));
  const added = mapped.filter((name) => !sent.includes(name));
  const left = sent.filter((name) => !mapped.includes(name));
  return [
    ...added.map((name): Omit<Finding, 'where'> => ({
      severity: 'error',
      what: `table ${name} is mapped, and the flow of capability "${id}" that runs was made without it (publication ${publication})`,
      hint: addTable(id),
    })),
    ...left.map((name): Omit<Finding, 'where'> => ({
      severity: 'error',
      what: `table ${name} is mapped no more, and the flow of capability "${id}" that runs was made with it (publication ${publication}): it stops at the next change of it`,
      hint: `Map it again, or go back (\`banyan rollback ${id} --to monolith\`) and begin without it.`,
    })),
  ];
}

function addTable(id: string): string {
  return `A table is added by going back to \`monolith\` (\`banyan rollback ${id} --to monolith\`) and beginning again with the new mapping; until then take it out of the mapping.`;
}
