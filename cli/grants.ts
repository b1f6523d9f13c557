// `banyan grants`: the SQL that makes the three roles in each database, to read and to run.
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

export function grantsCommand(program: Command): void {
  program
    .command('grants')
    .description('print the SQL that makes the roles, one block a database')
    .requiredOption(
      '--table-owner <role...>',
      'role that owns the mapped tables; <name>=<role> for one database (monolith, or the service)',
    )
    .action(async (flags: { tableOwner: string[] }, command: Command) => {
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
      const blocks = sides.flatMap(({ name, logins, tables, lookups, skipsTriggers }) =>
        logins && tables.length > 0
          ? [
              {
                name,
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
        .map((block) => `-- ${block.name}\n${block.statements.join(';\n')};`)
        .join('\n\n');
      answer(globals.json, blocks, text);
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
