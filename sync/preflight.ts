// Holds a definition against the live databases before anything is started: what is missing, what
// would fail later, what a role may not do. Returns every finding at once; changes nothing.
import type pg from 'pg';
import { isBanyanError, messageOf } from '../core/errors.ts';
import { connect, rawRows } from '../core/postgres/connect.ts';
import {
  formatTable,
  parseTableName,
  quoteIdentifier,
  quoteTable,
} from '../core/postgres/identifiers.ts';
import { readSchema, type LiveSchema, type LiveTable } from '../core/postgres/catalog.ts';
import type { Connections, Logins } from '../control/connections.ts';
import type { Capability, Migration } from '../control/definition.ts';
import { mappedTables } from '../control/grants.ts';
import type { Owner } from '../control/domain/phase.ts';
import { resolveTable, type ResolvedTable } from './domain/mapping.ts';

export interface Finding {
  readonly severity: 'error' | 'warning';
  /** `monolith`, `service catalog`, or a capability's table. */
  readonly where: string;
  readonly what: string;
  readonly hint: string;
}

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
  const findings: Finding[] = [];
  const tables = (side: Owner, service?: string): string[] =>
    mappedTables(migration, side, service);
  const monolith = connections.monolith.database;
  const monolithSchema =
    monolith && (await checkDatabase('monolith', monolith, tables('monolith'), findings));
  const services = [...new Set(withTables.map(([, capability]) => capability.service))];
  for (const name of services) {
    const logins = connections.services[name]?.database;
    const schema =
      logins && (await checkDatabase(`service ${name}`, logins, tables('service', name), findings));
    if (!monolithSchema || !schema) continue;
    for (const [id, capability] of withTables)
      if (capability.service === name)
        findings.push(...checkMapping(id, capability, monolithSchema, schema));
  }
  return findings;
}

/** One database: logins, settings, rights. Undefined when it cannot be reached. */
async function checkDatabase(
  where: string,
  logins: Logins,
  tables: readonly string[],
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
    const level = await value(capture, 'SHOW wal_level');
    if (level !== 'logical')
      report(
        `the server runs with wal_level=${level}`,
        'Set wal_level = logical in postgresql.conf and restart the server.',
      );
    if (
      (await value(
        capture,
        'SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user',
      )) !== 't'
    )
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
    if (
      (await value(
        applier,
        `SELECT has_function_privilege('pg_catalog.pg_replication_origin_session_setup(text)', 'EXECUTE')`,
      )) !== 't'
    )
      report(
        'the applier may not use replication origins',
        'GRANT EXECUTE on the pg_replication_origin functions (see `banyan grants`).',
      );
    const free = await value(
      capture,
      `SELECT current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots)`,
    );
    if (Number(free) < 1)
      report(
        'no replication slot is free',
        'Raise max_replication_slots, or drop slots that nobody reads.',
        'warning',
      );
    const schema = await readSchema(capture, tables.map(parseTableName));
    for (const table of tables)
      await checkRights(table, schema, { capture, applier, coordinator }, report);
    return schema;
  } finally {
    for (const client of Object.values(clients)) await client.end().catch(() => undefined);
  }
}

async function checkRights(
  table: string,
  schema: LiveSchema,
  { capture, applier, coordinator }: Record<(typeof ROLES)[number], pg.Client>,
  report: (what: string, hint: string) => void,
): Promise<void> {
  const name = parseTableName(table);
  if (!schema.has(formatTable(name))) {
    report(
      `there is no table ${formatTable(name)}`,
      'Correct its name in the definition, or migrate the database first.',
    );
    return;
  }
  const quoted = quoteTable(name);
  const may = async (client: pg.Client, rights: string): Promise<boolean> =>
    (await value(client, 'SELECT has_table_privilege($1, $2)', [quoted, rights])) === 't';
  if (!(await may(capture, 'SELECT')))
    report(`the capture role may not read ${table}`, `GRANT SELECT ON ${quoted} TO it.`);
  for (const right of ['SELECT', 'INSERT', 'UPDATE', 'DELETE'])
    if (!(await may(applier, right)))
      report(`the applier lacks ${right} on ${table}`, `GRANT ${right} ON ${quoted} TO it.`);
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

/** The mapping of one capability against both schemas. */
function checkMapping(
  id: string,
  capability: Capability,
  monolith: LiveSchema,
  service: LiveSchema,
): Finding[] {
  const findings: Finding[] = [];
  for (const map of capability.tables) {
    const resolved = resolveTable(map);
    const from = monolith.get(formatTable(resolved.monolith));
    if (!from) continue;
    const report = (what: string, hint: string): void => {
      findings.push({ severity: 'error', where: `${id}: ${map.monolith}`, what, hint });
    };
    const pairs = resolved.pairs;
    checkColumns(
      from,
      [
        ...pairs.map((pair) => pair.monolith),
        ...map.shared.monolith,
        ...Object.keys(map.defaults.monolith),
      ],
      report,
    );
    checkKey(
      from,
      pairs
        .filter((pair) => pair.klass === 'key' && pair.service === 0)
        .map((pair) => pair.monolith),
      report,
    );
    const filled = new Set([
      ...pairs.map((pair) => pair.monolith),
      ...Object.keys(map.defaults.monolith),
    ]);
    checkFilled(from, filled, `defaults.monolith`, report);
    resolved.services.forEach((name, index) => {
      const into = service.get(formatTable(name));
      if (into) checkServiceTable(resolved, index, into, report);
    });
    for (const stay of pairs.filter((pair) => pair.klass === 'stays' && pair.fallback === null))
      if (from.columns.get(stay.monolith)?.notNull)
        report(
          `column ${stay.monolith} stays with the monolith, is not null, and has no value for rows that the service inserts`,
          `Write stays: { ${stay.monolith}: { to: '${stay.column}', default: … } }.`,
        );
  }
  return findings;
}

function checkServiceTable(
  { map, pairs }: ResolvedTable,
  index: number,
  into: LiveTable,
  report: (what: string, hint: string) => void,
): void {
  const own = pairs.filter((pair) => pair.service === index);
  const defaults = Object.keys(map.defaults.service)
    .filter((column) =>
      column.includes('.') ? column.startsWith(`${map.service[index] ?? ''}.`) : index === 0,
    )
    .map((column) => column.slice(column.lastIndexOf('.') + 1));
  const shared = index === 0 ? map.shared.service : [];
  checkColumns(into, [...own.map((pair) => pair.column), ...defaults, ...shared], report);
  checkKey(
    into,
    own.filter((pair) => pair.klass === 'key').map((pair) => pair.column),
    report,
  );
  checkFilled(
    into,
    new Set([...own.map((pair) => pair.column), ...defaults]),
    'defaults.service',
    report,
  );
}

function checkColumns(
  table: LiveTable,
  columns: readonly string[],
  report: (what: string, hint: string) => void,
): void {
  for (const column of new Set(columns)) {
    const live = table.columns.get(column);
    if (!live)
      report(
        `there is no column ${column} in ${formatTable(table)}`,
        `Its columns are: ${[...table.columns.keys()].join(', ')}.`,
      );
    else if (live.generated)
      report(
        `column ${column} of ${formatTable(table)} is generated`,
        'Leave it out: each side computes its own.',
      );
  }
}

function checkKey(
  table: LiveTable,
  key: readonly string[],
  report: (what: string, hint: string) => void,
): void {
  const same = (columns: readonly string[]): boolean =>
    columns.length === key.length && columns.every((column) => key.includes(column));
  const where = formatTable(table);
  if (table.primaryKey.length === 0 && table.uniqueKeys.length === 0)
    report(
      `table ${where} has no primary key`,
      `Add one: ALTER TABLE ${quoteTable(table)} ADD PRIMARY KEY (${key.map(quoteIdentifier).join(', ')}).`,
    );
  else if (!same(table.primaryKey) && !table.uniqueKeys.some(same))
    report(
      `the key (${key.join(', ')}) of the mapping is not unique in ${where}`,
      `Its primary key is (${table.primaryKey.join(', ')}).`,
    );
  if (
    table.replicaIdentity === 'nothing' ||
    (table.replicaIdentity === 'default' &&
      table.primaryKey.length > 0 &&
      !key.every((column) => table.primaryKey.includes(column)))
  )
    report(
      `the replica identity of ${where} does not hold the key`,
      `ALTER TABLE ${quoteTable(table)} REPLICA IDENTITY FULL.`,
    );
}

function checkFilled(
  table: LiveTable,
  filled: ReadonlySet<string>,
  where: string,
  report: (what: string, hint: string) => void,
): void {
  for (const column of table.columns.values())
    if (column.notNull && !column.hasDefault && !column.generated && !filled.has(column.name))
      report(
        `column ${column.name} of ${formatTable(table)} is not null, has no default and nothing fills it`,
        `Map it, or give it a value in ${where}.`,
      );
}

async function value(
  client: pg.Client,
  text: string,
  values: readonly string[] = [],
): Promise<string> {
  return (await rawRows(client, text, values))[0]?.[0] ?? '';
}
