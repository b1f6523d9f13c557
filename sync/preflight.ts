// Holds a definition against the live databases before anything is started: what is missing, what
// would fail later, what a role may not do. Returns every finding at once; changes nothing.
import type pg from 'pg';
import { isBanyanError, messageOf } from '../core/errors.ts';
import { connect, rawRows } from '../core/postgres/connect.ts';
import { disconnect } from '../core/postgres/silence.ts';
import {
  formatTable,
  nameMeant,
  parseTableName,
  quoteIdentifier,
  quoteTable,
  type TableName,
} from '../core/postgres/identifiers.ts';
import { readSchema, type LiveSchema } from '../core/postgres/catalog.ts';
import { lackingRights } from '../control/applier-rights.ts';
import type { Connections, Logins } from '../control/connections.ts';
import type { Migration } from '../control/definition.ts';
import { lookupTables, mappedTables, passesTriggersBy } from '../control/grants.ts';
import type { Owner } from '../control/domain/phase.ts';
import type { Finding } from './domain/finding.ts';
import { checkCanary } from './domain/canary-findings.ts';
import { checkMapping } from './domain/findings.ts';
import { checkConnector } from './kafka/connector-findings.ts';
import { checkOutboxes } from './kafka/outbox-findings.ts';
import { checkRecords } from './kafka/record-findings.ts';
import { checkKafka } from './kafka/topic-findings.ts';
import { checkStanding } from './standing-findings.ts';
import { checkClocks, checkTimes } from './time-findings.ts';

const ROLES = ['capture', 'applier', 'coordinator'] as const;

/** Checks the named capabilities (all by default). */
export async function preflight(
  migration: Migration,
  connections: Connections,
  only?: readonly string[],
): Promise<Finding[]> {
  const chosen = Object.entries(migration.capabilities).filter(
    ([id]) => only?.includes(id) ?? true,
  );
  const withTables = chosen.filter(([, capability]) => capability.tables.length > 0);
  if (withTables.length === 0) return [];
  const findings: Finding[] = await checkKafka(migration, connections.kafka);
  const streamsOf = (service?: string): number =>
    migration.changeLog === 'direct'
      ? withTables.filter(([, one]) => service === undefined || one.service === service).length
      : 1;
  const tables = (side: Owner, service?: string): Tables => ({
    streams: streamsOf(service),
    mapped: mappedTables(migration, side, service),
    lookups: lookupTables(migration, side, service),
    skipsTriggers: passesTriggersBy(migration, side, service),
  });
  const monolith = connections.monolith.database;
  const monolithSchema =
    monolith && (await checkDatabase('monolith', monolith, tables('monolith'), findings));
  const timed = withTables.filter(
    ([, { canary }]) => canary.writes && canary.conflicts === 'last-writer-wins',
  );
  if (monolith && monolithSchema && timed.length > 0)
    findings.push(...(await checkTimes(timed.map(([id]) => id).join(', '), monolith)));
  const clocks = timed.map(([, { service }]) => service);
  findings.push(...(await checkOutboxes(migration, connections)));
  if (monolith && monolithSchema)
    for (const [id, capability] of withTables)
      findings.push(
        ...(await checkConnector(id, capability, monolith.capture, connections.kafka)),
        ...(await checkRecords(migration, id, capability, 'monolith', monolith)),
      );
  const services = [...new Set(withTables.map(([, capability]) => capability.service))];
  for (const name of services) {
    const logins = connections.services[name]?.database;
    const schema =
      logins && (await checkDatabase(`service ${name}`, logins, tables('service', name), findings));
    if (!monolith || !logins || !monolithSchema || !schema) continue;
    if (clocks.includes(name)) findings.push(...(await checkClocks(name, monolith, logins)));
    for (const [id, capability] of withTables)
      if (capability.service === name)
        findings.push(
          ...checkMapping(id, capability, monolithSchema, schema),
          ...checkCanary(id, capability, monolithSchema, schema),
          ...(await checkStanding(id, capability, { monolith, service: logins })),
          ...(await checkRecords(migration, id, capability, 'service', logins)),
        );
  }
  return findings;
}

/** Also by membership, where a service has no superuser that could give the attribute. */
const REPLICATES = `
  SELECT rolreplication OR rolsuper OR EXISTS (
           SELECT FROM pg_roles r WHERE r.rolname = 'rds_replication' AND pg_has_role(current_user, r.oid, 'member'))
    FROM pg_roles WHERE rolname = current_user`;
/** Of PostgreSQL. */
const OLDEST = 150_000;
const OWN_SLOTS = `SELECT count(*) FROM pg_replication_slots WHERE database = current_database() AND slot_name LIKE 'banyan%'`;
/** Settings that bound how many streams a server has, what one takes, and how much is taken. */
const USED = [
  ['max_replication_slots', 'a slot', 'SELECT count(*) FROM pg_replication_slots'],
  ['max_wal_senders', 'a sender', 'SELECT count(*) FROM pg_stat_replication'],
] as const;

interface Tables {
  /** How many streams come out of the database, when all its capabilities are under way. */
  readonly streams: number;
  readonly mapped: readonly string[];
  readonly lookups: readonly string[];
  /** Whether triggers of some are passed by. */
  readonly skipsTriggers: boolean;
}

/** One database: logins, settings, rights. Undefined when it cannot be reached. */
async function checkDatabase(
  where: string,
  logins: Logins,
  tables: Tables,
  findings: Finding[],
): Promise<LiveSchema | undefined> {
  const clients: Partial<Record<(typeof ROLES)[number], pg.Client>> = {};
  const report = (what: string, hint: string, severity: Finding['severity'] = 'error'): void => {
    findings.push({ severity, where, what, hint });
  };
  try {
    for (const role of ROLES)
      try {
        clients[role] = await connect(logins[role], { applicationName: 'banyan-preflight' });
      } catch (error) {
        report(
          `${role}: ${messageOf(error)}`,
          (isBanyanError(error) ? error.hint : undefined) ?? 'Check the URL.',
        );
      }
    const { capture, applier, coordinator } = clients;
    if (!capture || !applier || !coordinator) return undefined;
    if (Number(await value(capture, 'SHOW server_version_num')) < OLDEST) {
      report(
        `the server is PostgreSQL ${await value(capture, 'SHOW server_version')}`,
        'Banyan needs 15 or newer.',
      );
      return undefined;
    }
    const level = await value(capture, 'SHOW wal_level');
    if (level !== 'logical')
      report(
        `the server runs with wal_level=${level}`,
        'Set wal_level = logical in postgresql.conf and restart the server.',
      );
    if ((await value(capture, REPLICATES)) !== 't')
      report(
        'the capture role lacks REPLICATION',
        'As a superuser: ALTER ROLE … REPLICATION (see `banyan grants`).',
      );
    if (
      (await value(coordinator, `SELECT has_database_privilege(current_database(), 'CREATE')`)) !==
      't'
    )
      report(
        'the coordinator may not create a schema and publications',
        'GRANT CREATE ON DATABASE … TO it (see `banyan grants`).',
      );
    const missing = Math.max(0, tables.streams - Number(await value(capture, OWN_SLOTS)));
    for (const [setting, what, used] of USED) {
      const free = Number(
        await value(capture, `SELECT current_setting('${setting}')::int - (${used})`),
      );
      if (free < missing)
        report(
          `${free} of ${setting} are free, and ${missing} more ${missing === 1 ? 'stream wants' : 'streams want'} ${what} each`,
          `Raise ${setting} and restart the server, or end what nobody needs.`,
          'warning',
        );
    }
    const all = [...new Set([...tables.mapped, ...tables.lookups])];
    if (!(await checkSchemas(all, { capture, applier, coordinator }, report))) return undefined;
    // It owns the sequences, too, and may see where they stand.
    const schema = await readSchema(coordinator, all.map(parseTableName));
    const lacking = await lackingRights(coordinator, await value(applier, 'SELECT session_user'), {
      tables: tables.mapped.map(parseTableName),
      lookups: tables.lookups.map(parseTableName),
      skipsTriggers: tables.skipsTriggers,
    });
    for (const { right, sql } of lacking)
      report(`the applier lacks ${right}`, `${sql} (see \`banyan grants\`).`);
    for (const table of tables.mapped)
      await checkRights(table, schema, { capture, coordinator }, report);
    for (const table of tables.lookups) await checkReadable(table, schema, capture, report);
    for (const table of all)
      if (schema.has(formatTable(parseTableName(table))))
        await checkPolicies(table, { capture, applier, coordinator }, report);
    return schema;
  } finally {
    for (const client of Object.values(clients)) await disconnect(client);
  }
}

/** False when a role may not even look into a schema: the other questions would be errors then. */
async function checkSchemas(
  tables: readonly string[],
  clients: Record<(typeof ROLES)[number], pg.Client>,
  report: (what: string, hint: string) => void,
): Promise<boolean> {
  let open = true;
  for (const schema of new Set(tables.map((table) => parseTableName(table).schema)))
    for (const role of ROLES) {
      const may = await value(
        clients[role],
        `SELECT coalesce((SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = $1), true)`,
        [schema],
      );
      if (may === 't') continue;
      open = false;
      report(
        `the ${role} role may not use schema ${schema}`,
        role === 'coordinator'
          ? 'GRANT the role that owns the tables TO it (see `banyan grants`).'
          : `GRANT USAGE ON SCHEMA ${quoteIdentifier(schema)} TO it (see \`banyan grants\`).`,
      );
    }
  return open;
}

const MAY_READ = `SELECT has_table_privilege($1, 'SELECT')`;

async function checkRights(
  table: string,
  schema: LiveSchema,
  { capture, coordinator }: Record<'capture' | 'coordinator', pg.Client>,
  report: (what: string, hint: string) => void,
): Promise<void> {
  const name = parseTableName(table);
  if (!schema.has(formatTable(name))) {
    const meant = await tableMeant(name, coordinator);
    report(
      `there is no table ${formatTable(name)}`,
      meant === undefined
        ? 'Correct its name in the definition, or migrate the database first.'
        : `Write ${meant}: names are as the catalog has them, without quotes.`,
    );
    return;
  }
  const quoted = quoteTable(name);
  if ((await value(capture, MAY_READ, [quoted])) !== 't')
    report(`the capture role may not read ${table}`, `GRANT SELECT ON ${quoted} TO it.`);
  const owns = await value(
    coordinator,
    `SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = $1::regclass`,
    [quoted],
  );
  if (owns !== 't')
    report(
      `the coordinator may not alter ${table}`,
      'GRANT the role that owns the table TO the coordinator.',
    );
}

/** A role that sees some rows only would copy, compare and delete by those. */
async function checkPolicies(
  table: string,
  clients: Record<(typeof ROLES)[number], pg.Client>,
  report: (what: string, hint: string) => void,
): Promise<void> {
  const quoted = quoteTable(parseTableName(table));
  for (const role of ROLES) {
    const client = clients[role];
    if ((await value(client, 'SELECT row_security_active($1::text)', [quoted])) !== 't') continue;
    const name = quoteIdentifier(await value(client, 'SELECT current_user'));
    report(
      `row-level security of ${table} hides rows from the ${role} role`,
      `As a superuser: ALTER ROLE ${name} BYPASSRLS. Until then nothing is copied: it would be part of the rows.`,
    );
  }
}

/** One of the same letters, as a definition names it. */
async function tableMeant(
  { schema, table }: TableName,
  client: pg.Client,
): Promise<string | undefined> {
  const rows = await rawRows(
    client,
    `SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') ORDER BY c.relname`,
    [schema.replaceAll('"', '')],
  );
  const meant = nameMeant(
    table,
    rows.map(([name]) => name ?? ''),
  );
  if (meant === undefined) return undefined;
  return schema === 'public' ? meant : `${schema.replaceAll('"', '')}.${meant}`;
}

async function checkReadable(
  table: string,
  schema: LiveSchema,
  capture: pg.Client,
  report: (what: string, hint: string) => void,
): Promise<void> {
  const name = parseTableName(table);
  if (!schema.has(formatTable(name))) {
    report(
      `there is no table ${formatTable(name)}, which a lookup asks`,
      'Correct its name in the definition, or name the side it is on.',
    );
    return;
  }
  if ((await value(capture, MAY_READ, [quoteTable(name)])) !== 't')
    report(
      `the capture role may not read ${table}, which a lookup asks`,
      `GRANT SELECT ON ${quoteTable(name)} TO it.`,
    );
}

async function value(
  client: pg.Client,
  text: string,
  values: readonly string[] = [],
): Promise<string> {
  return (await rawRows(client, text, values))[0]?.[0] ?? '';
}
