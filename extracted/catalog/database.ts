// Opens the service's own database. Ids and cents are bigint in the tables and safe integers here;
// timestamptz leaves as an ISO string with milliseconds, the rest of the fraction cut off, not
// rounded.
import knex, { type Knex } from 'knex';
import pg from 'pg';

const types = new pg.TypeOverrides();
types.setTypeParser(pg.types.builtins.INT8, Number);
types.setTypeParser(pg.types.builtins.TIMESTAMPTZ, isoOfTimestamptz);

/** A knex instance of its own pool; the caller destroys it. */
export function openDatabase(databaseUrl: string, poolSize = 10): Knex {
  return knex({
    client: 'pg',
    connection: {
      connectionString: databaseUrl,
      application_name: 'catalog',
      options: '-c TimeZone=UTC',
      types,
    } as Knex.PgConnectionConfig,
    pool: { min: 0, max: poolSize },
    acquireConnectionTimeout: 10_000,
  });
}

/** `YYYY-MM-DD HH:MM:SS[.ffffff]+00`, as PostgreSQL prints it for UTC, to `…THH:MM:SS.mmmZ`. */
export function isoOfTimestamptz(text: string): string {
  const parts = /^(\S{10}) (\d\d:\d\d:\d\d)(?:\.(\d+))?\+00$/.exec(text);
  if (!parts) throw new Error(`not a UTC timestamp: ${text}`);
  const [, date = '', time = '', fraction = ''] = parts;
  return `${date}T${time}.${fraction.slice(0, 3).padEnd(3, '0')}Z`;
}
