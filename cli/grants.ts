// `banyan grants`: the SQL that makes the three roles in each database, to read and to run: by psql all of
// it at once, by anything else a database at a time.
import type { Command } from 'commander';
import {
  grantStatements,
  lookupTables,
  mappedTables,
  passesTriggersBy,
  type RoleNames,
} from '../control/grants.ts';
import { BanyanError } from '../core/errors.ts';
import type { Logins } from '../control/connections.ts';
import { loadConfig, type GlobalOptions } from './context.ts';
import { answer } from './output.ts';

interface Flags {
  readonly tableOwner: string[];
  readonly only?: string;
}

export function grantsCommand(program: Command): void {
  program
    .command('grants')
    .description('print the SQL that makes the roles, one block a database')
    .requiredOption(
      '--table-owner <role...>',
      'role that owns the mapped tables; <name>=<role> for one database (monolith, or the service)',
    )
    .option(
      '--only <name>',
      'one block, plain SQL without a line for psql: monolith, or the service',
    )
    .action(async (flags: Flags, command: Command) => {
      const globals = command.optsWithGlobals<GlobalOptions>();
      const { migration, connections } = await loadConfig(globals.config);
      const sides = [
        {
          name: 'monolith',
          logins: connections.monolith.database,
          tables: mappedTables(migration, 'monolith'),
          lookups: lookupTables(migration, 'monolith'),
          skipsTriggers: passesTriggersBy(migration, 'monolith'),
        },
        ...Object.entries(connections.services).map(([name, side]) => ({
          name,
          logins: side.database,
          tables: mappedTables(migration, 'service', name),
          lookups: lookupTables(migration, 'service', name),
          skipsTriggers: passesTriggersBy(migration, 'service', name),
        })),
      ];
      const mapped = sides.filter(({ logins, tables }) => logins && tables.length > 0);
      const chosen = mapped.filter(({ name }) => name === (flags.only ?? name));
      if (flags.only !== undefined && chosen.length === 0)
        throw new BanyanError('USAGE', `no tables are mapped in a database of "${flags.only}"`, {
          hint: `--only takes one of: ${mapped.map(({ name }) => name).join(', ')}.`,
        });
      const isOneServer =
        new Set(mapped.map(({ logins }) => logins && serverOf(logins))).size === 1;
      const blocks = chosen.flatMap(({ name, logins, tables, lookups, skipsTriggers }) =>
        logins
          ? [
              {
                name,
                database: databaseOf(logins),
                connect: flags.only === undefined ? [connectTo(logins, isOneServer)] : [],
                statements: grantStatements({
                  database: databaseOf(logins),
                  tableOwner: ownerOf(flags.tableOwner, name),
                  roles: rolesOf(logins),
                  tables,
                  lookups,
                  skipsTriggers,
                }),
              },
            ]
          : [],
      );
      const text = blocks
        .map(({ name, database, connect, statements }) =>
          [`-- ${name}: database ${database}`, ...connect, `${statements.join(';\n')};`].join('\n'),
        )
        .join('\n\n');
      answer(
        globals.json,
        blocks.map(({ name, database, statements }) => ({ name, database, statements })),
        text,
      );
    });
}

/** `name=role` for this database, else the one given for all. */
function ownerOf(given: readonly string[], name: string): string {
  const own = given.findLast((one) => one.startsWith(`${name}=`))?.slice(name.length + 1);
  const owner = own ?? given.findLast((one) => !one.includes('='));
  if (owner !== undefined) return owner;
  throw new BanyanError('USAGE', `no --table-owner is given for ${name}`, {
    hint: `Add --table-owner ${name}=<role>, or --table-owner <role> for all.`,
  });
}

/** For psql: a file of several blocks runs each where it belongs, on another server where that is another. */
function connectTo(logins: Logins, isOneServer: boolean): string {
  const quoted = (text: string): string => `'${text.replaceAll(/['\\]/g, '\\$&')}'`;
  const { hostname, port } = new URL(logins.capture);
  const place = isOneServer
    ? ''
    : ` host=${quoted(hostname.replace(/^\[|\]$/g, ''))} port=${port || '5432'}`;
  const info = `dbname=${quoted(databaseOf(logins))}${place}`;
  return `\\connect -reuse-previous=on "${info.replaceAll('"', '""')}"`;
}

function serverOf(logins: Logins): string {
  return new URL(logins.capture).host;
}

function databaseOf(logins: Logins): string {
  return decodeURIComponent(new URL(logins.capture).pathname.slice(1));
}

export function rolesOf(logins: Logins): RoleNames {
  const role = (url: string): string => decodeURIComponent(new URL(url).username);
  return {
    capture: role(logins.capture),
    applier: role(logins.applier),
    coordinator: role(logins.coordinator),
  };
}
