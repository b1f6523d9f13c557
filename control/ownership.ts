// Who owns a capability here: the row that guards every step in this database, and each change of it, told
// to the stream by its own transaction and noted with its place in the WAL for flows that do not read
// that. A schema made by an older version has no such note.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import { sqlState } from '../core/postgres/connect.ts';
import { quoteLiteral } from '../core/postgres/identifiers.ts';
import { encodeMessage } from './domain/flow.ts';
import { MESSAGE_PREFIX } from './domain/names.ts';
import { scalar } from './scalar.ts';

export interface OwnershipChange {
  readonly capability: string;
  readonly epoch: number;
  readonly owns: boolean;
  /** Whether both sides write from here on, or no longer do. */
  readonly shared?: boolean | undefined;
}

const UNDEFINED_TABLE = '42P01';

/**
 * Locks the ownership row for the transaction. Throws STALE_COORDINATOR when a later coordinator has been
 * here, or one has removed the capability meanwhile, unless the row may be absent; PREFLIGHT_FAILED when
 * the schema is gone.
 */
export async function lockOwnership(
  client: pg.Client,
  capability: string,
  epoch: number,
  absent: 'refused' | 'passes' = 'refused',
): Promise<void> {
  const found = await client
    .query<{ epoch: string }>(
      'SELECT epoch FROM banyan.ownership WHERE capability = $1 FOR UPDATE',
      [capability],
    )
    .catch((error: unknown) => {
      throw sqlState(error) === UNDEFINED_TABLE ? schemaLost(client, capability, error) : error;
    });
  const current = found.rows[0]?.epoch;
  if (current === undefined && absent === 'passes') return;
  if (current === undefined || Number(current) > epoch)
    throw outdated(client, capability, epoch, current);
}

/** Without a lock, for steps of another session. The row, and the schema, may be gone. Throws STALE_COORDINATOR. */
export async function assertNewest(
  client: pg.Client,
  capability: string,
  epoch: number,
): Promise<void> {
  const current = await scalar(client, 'SELECT epoch FROM banyan.ownership WHERE capability = $1', [
    capability,
  ]).catch((error: unknown) => {
    if (sqlState(error) !== UNDEFINED_TABLE) throw error;
    return '';
  });
  if (current !== '' && Number(current) > epoch) throw outdated(client, capability, epoch, current);
}

function outdated(
  client: pg.Client,
  capability: string,
  epoch: number,
  current: string | undefined,
): BanyanError {
  return new BanyanError(
    'STALE_COORDINATOR',
    current === undefined
      ? `another coordinator has removed capability "${capability}" from database ${client.database ?? ''} (this one has epoch ${epoch})`
      : `another coordinator (epoch ${current}) has taken over from this one (epoch ${epoch})`,
    { hint: 'Look at `banyan status`.' },
  );
}

function schemaLost(client: pg.Client, capability: string, cause: unknown): BanyanError {
  return new BanyanError(
    'PREFLIGHT_FAILED',
    `the schema banyan is gone from database ${client.database ?? ''}: nothing of capability "${capability}" is fenced there any more, and how far its flows had come is lost`,
    {
      hint: `Somebody has dropped it. Bring the capability back to the monolith (\`banyan abort ${capability}\`) and begin anew.`,
      cause,
    },
  );
}

/**
 * Statements for the transaction that changes it, with the row locked: the stream is told, and the last gives
 * its place in the WAL, as `lsn`.
 */
export function tellStatements(
  { capability, epoch, owns, shared }: OwnershipChange,
  isNoted: boolean,
): string[] {
  const id = quoteLiteral(capability);
  const message = quoteLiteral(
    encodeMessage({
      ...{ kind: 'ownership', capability, epoch, owns },
      ...(shared !== undefined && { shared }),
    }),
  );
  const place = `pg_logical_emit_message(true, ${quoteLiteral(MESSAGE_PREFIX)}, ${message}::text)`;
  return [
    `UPDATE banyan.ownership SET owns = ${owns} WHERE capability = ${id}`,
    isNoted
      ? `INSERT INTO banyan.ownership_change VALUES (${id}, ${epoch}, ${place}, ${message}) RETURNING lsn::text AS lsn`
      : `SELECT ${place}::text AS lsn`,
  ];
}

const OF_A_CAPABILITY = ['ownership', 'ownership_change', 'bypass', 'flight', 'tombstone'];

/** A capability leaves this database, where others may stay. */
export async function forgetOwnership(client: pg.Client, capability: string): Promise<void> {
  for (const table of OF_A_CAPABILITY)
    if ((await scalar(client, 'SELECT to_regclass($1)', [`banyan.${table}`])) !== '')
      await client.query(`DELETE FROM banyan.${table} WHERE capability = $1`, [capability]);
}

/** Whether a database keeps notes of it. */
export async function notesOwnership(client: pg.Client): Promise<boolean> {
  return (await scalar(client, `SELECT to_regclass('banyan.ownership_change')`)) !== '';
}
