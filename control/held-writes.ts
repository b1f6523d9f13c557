// How many writes each facade held during a hold, and for how long: told once the last of them has left.
import type { Knex } from 'knex';

export interface HeldWrites {
  readonly capability: string;
  /** Of the state that began the hold. */
  readonly version: number;
  readonly replicaId: string;
  readonly writes: number;
  readonly longestMs: number;
}

/** Adds to what is there. */
export async function addHeld(db: Knex, held: readonly HeldWrites[]): Promise<void> {
  for (const { capability, version, replicaId, writes, longestMs } of held)
    await db.raw(
      `INSERT INTO banyan.held AS h (capability, version, replica_id, writes, longest_ms) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (capability, version, replica_id) DO UPDATE SET
         writes = h.writes + excluded.writes, longest_ms = greatest(h.longest_ms, excluded.longest_ms)`,
      [capability, version, replicaId, writes, longestMs],
    );
}
