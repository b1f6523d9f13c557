// The roles of the demo's databases: an application that owns its tables, and the three of least
// privilege that a migration logs in as, made by the same statements that `banyan grants` prints.
import { randomBytes } from 'node:crypto';
import { withClient } from '../../core/postgres/connect.ts';
import type { EmbeddedPostgres } from '../../core/postgres/embedded.ts';
import { quoteIdentifier, quoteLiteral } from '../../core/postgres/identifiers.ts';
import { grantStatements, type RoleNames } from '../../control/grants.ts';

const SESSION = { applicationName: 'banyan-demo' };

/** The application's own role: it owns database and tables. */
export async function makeOwner(server: EmbeddedPostgres, database: string): Promise<string> {
  const role = `${database}_app`;
  const password = randomBytes(12).toString('hex');
  await withClient(server.url(database), SESSION, async (client) => {
    await client.query(
      `CREATE ROLE ${quoteIdentifier(role)} LOGIN PASSWORD ${quoteLiteral(password)}`,
    );
    await client.query(
      `ALTER DATABASE ${quoteIdentifier(database)} OWNER TO ${quoteIdentifier(role)}`,
    );
    await client.query(`ALTER SCHEMA public OWNER TO ${quoteIdentifier(role)}`);
  });
  return asRole(server.url(database), role, password);
}

interface RoleUrls {
  readonly roles: RoleNames;
  readonly passwords: RoleNames;
  readonly urls: RoleNames;
}

export function roleUrls(server: EmbeddedPostgres, database: string): RoleUrls {
  const each = (make: (role: keyof RoleNames) => string): RoleNames => ({
    capture: make('capture'),
    applier: make('applier'),
    coordinator: make('coordinator'),
  });
  const roles = each((role) => `${database}_${role}`);
  const passwords = each(() => randomBytes(12).toString('hex'));
  return {
    roles,
    passwords,
    urls: each((role) => asRole(server.url(database), roles[role], passwords[role])),
  };
}

export async function makeRoles(
  server: EmbeddedPostgres,
  database: string,
  tables: readonly string[],
  { roles, passwords }: RoleUrls,
): Promise<void> {
  await withClient(server.url(database), SESSION, async (client) => {
    for (const statement of grantStatements({
      database,
      tableOwner: `${database}_app`,
      roles,
      tables,
      lookups: [],
      passwords,
    }))
      await client.query(statement);
  });
}

function asRole(url: string, role: string, password: string): string {
  const changed = new URL(url);
  changed.username = role;
  changed.password = password;
  return changed.href;
}
