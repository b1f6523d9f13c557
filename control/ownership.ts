// Who owns a capability here, told to the stream by the transaction that changes it, and noted with its
// place in the WAL for flows that do not read that. A schema made by an older version has no such note.
import type pg from 'pg';
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

/** Inside the transaction that changes it, with the ownership row locked. */
export async function tellOwnership(client: pg.Client, change: OwnershipChange): Promise<void> {
  const { capability, epoch, owns, shared } = change;
  await client.query('UPDATE banyan.ownership SET owns = $2 WHERE capability = $1', [
    capability,
    owns,
  ]);
  const message = encodeMessage({
    ...{ kind: 'ownership', capability, epoch, owns },
    ...(shared !== undefined && { shared }),
  });
  const lsn = await scalar(client, 'SELECT pg_logical_emit_message(true, $1, $2)', [
    MESSAGE_PREFIX,
    message,
  ]);
  if (await isNoted(client))
    await client.query('INSERT INTO banyan.ownership_change VALUES ($1, $2, $3, $4)', [
      ...[capability, epoch, lsn, message],
    ]);
}

/** A capability leaves this database. */
export async function forgetOwnership(client: pg.Client, capability: string): Promise<void> {
  await client.query('DELETE FROM banyan.ownership WHERE capability = $1', [capability]);
  if (await isNoted(client))
    await client.query('DELETE FROM banyan.ownership_change WHERE capability = $1', [capability]);
}

async function isNoted(client: pg.Client): Promise<boolean> {
  return (await scalar(client, `SELECT to_regclass('banyan.ownership_change')`)) !== '';
}
