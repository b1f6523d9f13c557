// Capabilities whose flows a human has paused.
import type { Knex } from 'knex';

export interface Pause {
  readonly capability: string;
  readonly who: string;
  readonly why: string;
}

/** Idempotent; the first pause stands. */
export async function pauseFlows(db: Knex, pause: Pause): Promise<void> {
  await db('banyan.flow_pause').insert(pause).onConflict('capability').ignore();
}

/** Idempotent. */
export async function resumeFlows(db: Knex, capability: string): Promise<void> {
  await db('banyan.flow_pause').where({ capability }).delete();
}

/** Capabilities whose flows must not run now. */
export async function pausedFlows(db: Knex): Promise<Set<string>> {
  const rows = await db<Pause>('banyan.flow_pause').select('capability');
  return new Set(rows.map(({ capability }) => capability));
}
