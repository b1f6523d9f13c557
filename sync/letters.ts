// Follows what humans do about parked changes: has them tried again when that is asked for, and takes
// note of those that were skipped or put on the list of rows to read again.
import type pg from 'pg';
import { sleep } from '../core/lifecycle.ts';
import type { Applier } from './apply.ts';
import type { Copying } from './copying.ts';
import type { Parking } from './parking.ts';

const LOOK_MS = 1_000;

export interface Letters {
  readonly flow: string;
  readonly applier: Applier;
  readonly copying: Copying;
  readonly parking: Parking;
  /** Runs work on the applier's session, between its batches. */
  readonly exclusively: <T>(work: (client: pg.Client) => Promise<T>) => Promise<T>;
  /** How time passes between two looks; by the clock where left out. */
  readonly pause?: typeof sleep;
}

/** Looks once a second until the signal aborts. What was parked when it begins is tried again at once. */
export async function followLetters(letters: Letters, signal: AbortSignal): Promise<void> {
  const { flow, applier, copying, parking, exclusively, pause = sleep } = letters;
  if (!parking.empty) await exclusively((client) => askForRetry(client, flow));
  while (!signal.aborted) {
    await exclusively(async (client) => {
      const { rows } = await client.query<{ parked: boolean; retry: boolean; reread: boolean }>(
        `SELECT count(*) > 0 AS parked, coalesce(bool_or(retry), false) AS retry,
                EXISTS (SELECT 1 FROM banyan.reread WHERE flow = $1) AS reread
           FROM banyan.parked WHERE flow = $1`,
        [flow],
      );
      const [found] = rows;
      if (found?.parked || !parking.empty) await parking.load(client);
      if (parking.orphaned) await askForRetry(client, flow);
      if (found?.retry || parking.orphaned) await applier.retryParked();
      if (found?.reread) copying.rereads = true;
    });
    await pause(LOOK_MS, signal);
  }
}

async function askForRetry(client: pg.Client, flow: string): Promise<void> {
  await client.query('UPDATE banyan.parked SET retry = true WHERE flow = $1', [flow]);
}
