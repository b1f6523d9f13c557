// Opens the shop's one database. Ids are bigint in the tables and numbers in JSON; timestamps are
// UTC wall-clock in the tables and leave as ISO strings with milliseconds, whatever the time zone
// of the process. Numeric stays a decimal string: money never becomes a float.
import knex, { type Knex } from 'knex';
import pg from 'pg';

const types = new pg.TypeOverrides();
types.setTypeParser(pg.types.builtins.INT8, Number);
types.setTypeParser(pg.types.builtins.TIMESTAMP, isoOfTimestamp);
types.setTypeParser(pg.types.builtins.DATE, String);

/** A knex instance of its own pool; the caller destroys it. */
export function openDatabase(databaseUrl: string, poolSize = 10): Knex {
  return knex({
    client: 'pg',
    connection: {
      connectionString: databaseUrl,
      application_name: 'monolith',
      types,
    } as Knex.PgConnectionConfig,
    pool: { min: 0, max: poolSize },
    acquireConnectionTimeout: 10_000,
  });
}

/** The moment of the transaction, as the `timestamp` columns keep it. */
export const UTC_NOW = "(now() AT TIME ZONE 'UTC')";

/** `YYYY-MM-DD HH:MM:SS[.ffffff]`, as PostgreSQL prints it, to `YYYY-MM-DDTHH:MM:SS.mmmZ`. */
export function isoOfTimestamp(text: string): string {
  const millis = text.length > 20 ? text.slice(20, 23).padEnd(3, '0') : '000';
  return `${text.slice(0, 10)}T${text.slice(11, 19)}.${millis}Z`;
}
