// How a capability enters a database that takes part: the schema `banyan` at its newest, the rights that
// the applier needs in it, and the row that guards every later step. And how that schema is brought up to
// date under capabilities that entered with an older version.
import type pg from 'pg';
import { transaction, withClient } from '../core/postgres/connect.ts';
import { quoteIdentifier } from '../core/postgres/identifiers.ts';
import { migrate } from '../core/postgres/migrate.ts';
import type { Logins } from './connections.ts';
import { PARTICIPANT_SCHEMA } from './domain/names.ts';
import { scalar } from './scalar.ts';

export interface Ownership {
  readonly capability: string;
  readonly epoch: number;
  readonly owns: boolean;
  /** With which it enters, as `schema.table`. */
  readonly tables: readonly string[];
  /** It comes from `monolith`: what is there is left of an earlier time, which may have had other tables. */
  readonly anew: boolean;
}

const APPLIER_WRITES = [
  ...['checkpoint', 'log_offset', 'backfill', 'reread', 'orphan', 'parked', 'conflict'],
  ...['awaited', 'tombstone', 'flight'],
];
const APPLIER_READS = ['ownership_change'];

/** Idempotent; `client` and `url` are the coordinator's. */
export async function enter(
  client: pg.Client,
  url: string,
  applier: string,
  { capability, epoch, owns, tables, anew }: Ownership,
): Promise<void> {
  await toNewest(url);
  await grant(client, applier);
  await client.query(
    `INSERT INTO banyan.ownership (capability, epoch, owns, tables) VALUES ($1, $2, $3, $4)
     ON CONFLICT (capability) DO UPDATE SET epoch = greatest(ownership.epoch, excluded.epoch),
       tables = CASE WHEN $5 AND excluded.epoch >= ownership.epoch THEN excluded.tables ELSE ownership.tables END`,
    [capability, epoch, owns, tables, anew],
  );
}

/**
 * Where the capability has entered already: the schema at its newest, and the applier's rights in what is new.
 * Idempotent; where nothing is to be done, a few queries and no lock.
 */
export async function keepUpToDate(
  { coordinator, applier }: Logins,
  capability: string,
): Promise<void> {
  await withClient(coordinator, { applicationName: 'banyan-upgrade' }, async (client) => {
    if (!(await hasEntered(client, capability))) return;
    await toNewest(coordinator);
    const role = await withClient(applier, { applicationName: 'banyan-upgrade' }, (its) =>
      scalar(its, 'SELECT session_user'),
    );
    if (!(await hasRights(client, role))) await grant(client, role);
  });
}

async function toNewest(url: string): Promise<void> {
  await migrate({ url, folder: 'participant', direction: 'up', schema: PARTICIPANT_SCHEMA });
}

async function grant(client: pg.Client, applier: string): Promise<void> {
  const role = quoteIdentifier(applier);
  const [written, read] = [APPLIER_WRITES, APPLIER_READS].map((all) => qualified(all).join(', '));
  await transaction(client, async () => {
    // PostgreSQL refuses a GRANT that another one overtakes.
    await client.query(`SELECT pg_advisory_xact_lock(hashtextextended('banyan grants', 0))`);
    await client.query(`GRANT USAGE ON SCHEMA ${PARTICIPANT_SCHEMA} TO ${role}`);
    await client.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${written ?? ''} TO ${role}`);
    await client.query(`GRANT SELECT ON ${read ?? ''} TO ${role}`);
  });
}

async function hasEntered(client: pg.Client, capability: string): Promise<boolean> {
  const { rows } = await client.query<{ there: boolean }>(
    `SELECT to_regclass('banyan.ownership') IS NOT NULL AS there`,
  );
  if (rows[0]?.there !== true) return false;
  const entered = await client.query('SELECT 1 FROM banyan.ownership WHERE capability = $1', [
    capability,
  ]);
  return entered.rows.length > 0;
}

async function hasRights(client: pg.Client, applier: string): Promise<boolean> {
  const { rows } = await client.query<{ has: boolean }>(
    `SELECT coalesce(bool_and(has_table_privilege($1, name::regclass, right_)), true) AS has
     FROM (SELECT unnest($2::text[]), r FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) r
           UNION ALL SELECT unnest($3::text[]), 'SELECT') AS needed (name, right_)`,
    [applier, qualified(APPLIER_WRITES), qualified(APPLIER_READS)],
  );
  return rows[0]?.has === true;
}

function qualified(tables: readonly string[]): string[] {
  return tables.map((table) => `${PARTICIPANT_SCHEMA}.${table}`);
}
