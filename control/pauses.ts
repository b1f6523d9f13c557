// What a human has paused: all flows of a capability, or only the copy of its tables beside the stream.
import type { Knex } from 'knex';

/** `copy`: what is not copied yet waits, and the stream goes on. */
export type Pausable = 'flows' | 'copy';

export interface Pause {
  readonly capability: string;
  readonly what: Pausable;
  readonly who: string;
  readonly why: string;
}

/** Idempotent; the first pause stands. */
export async function pauseFlows(db: Knex, pause: Pause): Promise<void> {
  await db('banyan.flow_pause').insert(pause).onConflict(['capability', 'what']).ignore();
}

/** Idempotent. Flows that go on take their copy along. */
export async function resumeFlows(db: Knex, capability: string, what: Pausable): Promise<void> {
  await db('banyan.flow_pause')
    .where({ capability, ...(what === 'copy' && { what }) })
    .delete();
}

/** Capabilities of which something must not run now. */
export async function pausedFlows(db: Knex): Promise<Readonly<Record<Pausable, Set<string>>>> {
  const rows = await db<Pause>('banyan.flow_pause').select('capability', 'what');
  const of = (what: Pausable): Set<string> =>
    new Set(rows.filter((row) => row.what === what).map(({ capability }) => capability));
  return { flows: of('flows'), copy: of('copy') };
}
