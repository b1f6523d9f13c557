// The conflicts of a capability as they were judged, both rows of each: read at the owner, through the
// applier's login.
import type pg from 'pg';
import { rawRows, withClient } from '../core/postgres/connect.ts';
import type { ConflictRow, Verdict } from '../control/domain/conflicts.ts';

export interface ConflictLine {
  readonly id: string;
  /** Table of the service that was written, and of the owner. */
  readonly source: string;
  readonly table: string;
  readonly key: ConflictRow;
  readonly operation: 'insert' | 'update' | 'delete';
  /** `different`, `missing`, `exists`, `unique`, `foreign key`, `incomplete`. */
  readonly reason: string;
  /** `owner-wins`, `last-writer-wins` or `function`. */
  readonly policy: string;
  readonly verdict: Verdict;
  /** The owner's row of that key; of a unique value, whichever row has it. */
  readonly owner: ConflictRow | null;
  readonly incoming: ConflictRow | null;
  readonly before: ConflictRow | null;
  /** ISO; null where it is not known, or nobody asked. */
  readonly ownerAt: string | null;
  readonly incomingAt: string;
  readonly position: string;
  readonly at: string;
}

/** The newest conflicts of a capability, newest first. `applier` is the login at the monolith. */
export async function listConflicts(
  capability: string,
  applier: string,
  limit = 1_000,
): Promise<ConflictLine[]> {
  return withClient(applier, { applicationName: 'banyan-cli' }, async (client) => {
    if (!(await isThere(client))) return [];
    const { rows } = await client.query<ConflictRecord>(
      'SELECT * FROM banyan.conflict WHERE flow = $1 ORDER BY id DESC LIMIT $2',
      [`${capability}:back`, limit],
    );
    return rows.map((row) => ({
      id: row.id,
      source: row.source_table,
      table: row.owner_table,
      key: row.key,
      operation: row.operation,
      reason: row.reason,
      policy: row.policy,
      verdict: row.verdict,
      owner: row.owner_row,
      incoming: row.incoming_row,
      before: row.before_row,
      ownerAt: row.owner_at?.toISOString() ?? null,
      incomingAt: row.incoming_at.toISOString(),
      position: row.position,
      at: row.at.toISOString(),
    }));
  });
}

/** How many conflicts a flow has met so far. */
export async function countConflicts(client: pg.Client, flow: string): Promise<number> {
  if (!(await isThere(client))) return 0;
  const [row] = await rawRows(client, 'SELECT count(*) FROM banyan.conflict WHERE flow = $1', [
    flow,
  ]);
  return Number(row?.[0] ?? 0);
}

/** A schema that an older version has made has no such table. */
async function isThere(client: pg.Client): Promise<boolean> {
  const [row] = await rawRows(client, `SELECT to_regclass('banyan.conflict') IS NOT NULL`);
  return row?.[0] === 't';
}

interface ConflictRecord {
  id: string;
  source_table: string;
  owner_table: string;
  key: ConflictRow;
  operation: ConflictLine['operation'];
  reason: string;
  policy: string;
  verdict: Verdict;
  owner_row: ConflictRow | null;
  incoming_row: ConflictRow | null;
  before_row: ConflictRow | null;
  owner_at: Date | null;
  incoming_at: Date;
  position: string;
  at: Date;
}
