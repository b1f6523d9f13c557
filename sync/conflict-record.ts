// A conflict as it is shown to a team's function and kept for people: the rows by the owner's columns,
// the reason, the verdict. Written in the transaction that has the effect.
import type pg from 'pg';
import { formatTable } from '../core/postgres/identifiers.ts';
import {
  policyName,
  type Conflict,
  type ConflictRow,
  type Verdict,
} from '../control/domain/conflicts.ts';
import type { Asked, Image } from './domain/images.ts';
import { targetColumns } from './domain/mapping.ts';
import type { FlowPlan } from './domain/plan.ts';

/** Why a change was a conflict. */
export type Reason = 'different' | 'missing' | 'exists' | 'unique' | 'foreign key' | 'incomplete';

/** What a change says of itself besides its rows. */
export interface Source {
  readonly commitMs: number;
  readonly position: string;
}

/** The owner's row under lock. */
export interface Look {
  readonly present: boolean;
  readonly asBefore: boolean;
  readonly asAfter: boolean;
  /** When the row was written, or deleted; null where that is not known. */
  readonly writtenMs: number | null;
  readonly row: ConflictRow | null;
}

export interface Judged {
  readonly asked: Asked;
  readonly look: Look;
  readonly source: Source;
  readonly reason: Reason;
  readonly verdict: Verdict;
}

export function reasonOf({ before, edge }: Asked, { present }: Look): Reason {
  if (!present) return 'missing';
  return before === null && edge.driver ? 'exists' : 'different';
}

export function conflictOf({ edge, key, before, after }: Asked, { row }: Look): Conflict {
  const keyRow = Object.fromEntries(edge.key.map((pair, index) => [pair.target, key[index] ?? '']));
  const rowOf = (image: Image | null): ConflictRow | null =>
    image && {
      ...keyRow,
      ...Object.fromEntries(
        targetColumns(edge).map(({ target }, index) => [target, image[index] ?? null]),
      ),
    };
  return {
    table: formatTable(edge.target),
    key: keyRow,
    owner: row,
    incoming: rowOf(after),
    before: rowOf(before),
  };
}

export async function recordConflict(
  client: pg.Client,
  { flow, conflicts }: FlowPlan,
  { asked, look, source, reason, verdict }: Judged,
): Promise<void> {
  const { table, key, owner, incoming, before } = conflictOf(asked, look);
  const json = (row: ConflictRow | null): string | null => row && JSON.stringify(row);
  await client.query(
    `INSERT INTO banyan.conflict (flow, source_table, owner_table, key, operation, reason, policy, verdict,
       owner_row, incoming_row, before_row, owner_at, incoming_at, position)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, to_timestamp($12::float8 / 1000), to_timestamp($13::float8 / 1000), $14)`,
    [
      ...[flow, formatTable(asked.edge.source), table, json(key), asked.operation],
      ...[reason, policyName(conflicts), verdict, json(owner), json(incoming), json(before)],
      ...[look.writtenMs, source.commitMs, source.position],
    ],
  );
}
