// The three logins of a database that takes part, as SQL for its administrator to read and run. Each
// may do what it needs and no more; the facade has none of them.
import { SEQUENCES_BEHIND } from '../core/postgres/catalog-sql.ts';
import {
  parseTableName,
  quoteIdentifier,
  quoteLiteral,
  quoteTable,
} from '../core/postgres/identifiers.ts';
import type { Migration } from './definition.ts';
import { referencesOf, skipsTriggers } from './domain/mapped-table.ts';
import type { Owner } from './domain/phase.ts';

export interface RoleNames {
  readonly capture: string;
  readonly applier: string;
  readonly coordinator: string;
}

const ORIGIN_FUNCTIONS = [
  'create(text)',
  'drop(text)',
  'oid(text)',
  'session_setup(text)',
  'session_reset()',
  'xact_setup(pg_lsn, timestamp with time zone)',
  'xact_reset()',
];

export interface GrantsOptions {
  readonly database: string;
  /** Role that owns the tables: the coordinator becomes a member, for it alters them. */
  readonly tableOwner: string;
  readonly roles: RoleNames;
  readonly tables: readonly string[];
  /** Tables that lookup lenses ask: read only. */
  readonly lookups: readonly string[];
  /** Whether triggers of some of the tables are passed by. */
  readonly skipsTriggers?: boolean;
  /** Passwords to set; left out, the roles are made without one. */
  readonly passwords?: RoleNames;
}

/** Statements for a superuser, connected to the database. */
export function grantStatements(options: GrantsOptions): string[] {
  const { roles } = options;
  const name = quoteIdentifier;
  const password = (role: keyof RoleNames): string =>
    options.passwords ? ` PASSWORD '${options.passwords[role].replaceAll("'", "''")}'` : '';
  const listed = (all: readonly string[]): string =>
    all.map((table) => quoteTable(parseTableName(table))).join(', ');
  const tables = listed(options.tables);
  const read = [...options.tables, ...options.lookups];
  const schemas = [...new Set(read.map((table) => name(parseTableName(table).schema)))].join(', ');
  return [
    createRole(roles.capture, `LOGIN REPLICATION${password('capture')}`),
    createRole(roles.applier, `LOGIN${password('applier')}`),
    createRole(roles.coordinator, `LOGIN${password('coordinator')}`),
    `GRANT CONNECT ON DATABASE ${name(options.database)} TO ${name(roles.capture)}, ${name(roles.applier)}, ${name(roles.coordinator)}`,
    `GRANT CREATE ON DATABASE ${name(options.database)} TO ${name(roles.coordinator)}`,
    `GRANT ${name(options.tableOwner)} TO ${name(roles.coordinator)}`,
    // That role may own the tables, and only ask the sequences behind them.
    ...(options.tables.length > 0 ? [sequenceGrant(roles.coordinator, options.tables)] : []),
    // To name who is in the way of a switch, whichever role it runs as.
    `GRANT pg_read_all_stats TO ${name(roles.coordinator)}`,
    `GRANT USAGE ON SCHEMA ${schemas} TO ${name(roles.capture)}, ${name(roles.applier)}`,
    `GRANT SELECT ON ${listed(read)} TO ${name(roles.capture)}, ${name(roles.applier)}`,
    `GRANT INSERT, UPDATE, DELETE ON ${tables} TO ${name(roles.applier)}`,
    ...ORIGIN_FUNCTIONS.map(
      (signature) =>
        `GRANT EXECUTE ON FUNCTION pg_catalog.pg_replication_origin_${signature} TO ${name(roles.applier)}`,
    ),
    ...(options.skipsTriggers
      ? [`GRANT SET ON PARAMETER session_replication_role TO ${name(roles.applier)}`]
      : []),
  ];
}

/** The sequences behind these tables that are another role's. */
function sequenceGrant(coordinator: string, tables: readonly string[]): string {
  const names = tables.map((table) => quoteLiteral(quoteTable(parseTableName(table)))).join(', ');
  const role = quoteLiteral(coordinator);
  return `DO $do$ DECLARE s record; BEGIN FOR s IN
  SELECT DISTINCT n.nspname, c.relname FROM pg_attribute a CROSS JOIN LATERAL ${SEQUENCES_BEHIND} AS behind
    JOIN pg_class c ON c.oid = behind.oid AND c.relkind = 'S' JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE a.attrelid IN (SELECT to_regclass(name) FROM unnest(ARRAY[${names}]) AS name)
     AND NOT pg_has_role(${role}, c.relowner, 'USAGE')
  LOOP
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', s.nspname, ${role});
    EXECUTE format('GRANT SELECT, UPDATE ON SEQUENCE %I.%I TO %I', s.nspname, s.relname, ${role});
  END LOOP; END $do$`;
}

/** Roles belong to the server: another of its databases may have made this one already. */
function createRole(role: string, attributes: string): string {
  const wanted = `CREATE ROLE ${quoteIdentifier(role)} ${attributes}`;
  return `DO $do$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = ${quoteLiteral(role)}) THEN ${wanted}; END IF; END $do$`;
}

/** The tables of one side that the whole definition maps: the monolith's, or one service's. */
export function mappedTables(
  { capabilities }: Pick<Migration, 'capabilities'>,
  side: Owner,
  service?: string,
): string[] {
  return Object.values(capabilities)
    .filter((capability) => side === 'monolith' || capability.service === service)
    .flatMap((capability) => capability.tables)
    .flatMap((table) => table[side]);
}

/** Whether sync passes triggers of one side's tables by. */
export function passesTriggersBy(migration: Migration, side: Owner, service?: string): boolean {
  return Object.values(migration.capabilities)
    .filter((capability) => side === 'monolith' || capability.service === service)
    .some((capability) => skipsTriggers(capability.tables, side));
}

/** The tables of one side that lookup lenses ask. */
export function lookupTables(migration: Migration, side: Owner, service?: string): string[] {
  const tables = Object.values(migration.capabilities)
    .filter((capability) => side === 'monolith' || capability.service === service)
    .flatMap((capability) => referencesOf(capability.tables))
    .filter((reference) => reference.side === side)
    .map((reference) => reference.table);
  return [...new Set(tables)];
}
