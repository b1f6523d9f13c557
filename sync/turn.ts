// One turn of a flow's stream. Its order is the promise: what is acknowledged has been applied, and is
// durable at the target.
import type { Applier } from './apply.ts';
import type { Applied } from './batch.ts';
import type { ChangeLog } from './change-log.ts';
import type { Mutex } from './mutex.ts';

export interface Stream {
  readonly log: ChangeLog;
  readonly applier: Applier;
  /** The applier's session, which the copy shares. */
  readonly session: Mutex;
}

/** Waits for pieces, applies and acknowledges them; undefined when the signal aborts. */
export async function turn(
  { log, applier, session }: Stream,
  signal: AbortSignal,
): Promise<Applied | undefined> {
  const pieces = await log.read(signal);
  if (pieces.length === 0) return undefined;
  const applied = await session.run(() => applier.apply(pieces));
  const { endLsn } = applied;
  if (endLsn !== undefined) log.acknowledge(await session.run(() => applier.noted(endLsn)));
  return applied;
}
