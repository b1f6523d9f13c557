// Follows what humans do about parked changes: has them tried again when that is asked for, and takes
// note of those that were skipped or put on the list of rows to read again. What only waits for another
// row, to come, to go or to let go of its unique value, is tried again without being asked for, ever less often.
import type pg from 'pg';
import { sleep } from '../core/lifecycle.ts';
import type { Applier } from './apply.ts';
import type { Copying } from './copying.ts';
import type { Parking } from './parking.ts';

const LOOK_MS = 1_000;
/** Looks that go by at most before changes that may pass by themselves are tried again. */
const MOST_LOOKS = 64;
/** Beyond so many a retry would hold up the stream. */
const MOST_PARKED = 500;

export interface Letters {
  readonly flow: string;
  readonly applier: Applier;
  readonly copying: Copying;
  readonly parking: Parking;
  /** Runs work on the applier's session, between its batches. */
  readonly exclusively: <T>(work: (client: pg.Client) => Promise<T>) => Promise<T>;
  /** Called at each look with how many are parked after it, and what the oldest was refused for. */
  readonly onLook?: (parked: number, why: string | null) => void;
  /** How time passes between two looks; by the clock where left out. */
  readonly pause?: typeof sleep;
}

/** Looks once a second until the signal aborts. What was parked when it begins is tried again at once. */
export async function followLetters(letters: Letters, signal: AbortSignal): Promise<void> {
  const { flow, applier, copying, parking, exclusively, onLook, pause = sleep } = letters;
  const patience = new Patience();
  if (!parking.empty) await exclusively((client) => askForRetry(client, flow));
  while (!signal.aborted) {
    await exclusively(async (client) => {
      const { rows } = await client.query<Found>(
        `SELECT count(*)::int AS parked, coalesce(bool_or(retry), false) AS retry,
                coalesce(bool_or(sql_state IN ('23001', '23502', '23503', '23505', '23P01')), false) AS passes, max(id) AS newest,
                (array_agg(error ORDER BY id) FILTER (WHERE error IS NOT NULL))[1] AS why,
                EXISTS (SELECT 1 FROM banyan.reread WHERE flow = $1) AS reread
           FROM banyan.parked WHERE flow = $1`,
        [flow],
      );
      const [found] = rows;
      if (found && (found.parked > 0 || !parking.empty)) await parking.load(client);
      const isDue = found !== undefined && patience.isOver(found);
      if (parking.orphaned || isDue) await askForRetry(client, flow);
      if (found?.retry || parking.orphaned || isDue) await applier.retryParked();
      if (found?.reread) copying.rereads = true;
      onLook?.(parking.size, found?.why ?? null);
    });
    await pause(LOOK_MS, signal);
  }
}

interface Found {
  readonly parked: number;
  readonly retry: boolean;
  /** Some were refused for the sake of another row. */
  readonly passes: boolean;
  readonly newest: string | null;
  readonly why: string | null;
  readonly reread: boolean;
}

/** Counts looks: tries come soon after something was parked, and then ever less often. */
class Patience {
  #newest: string | null = null;
  #looks = 0;
  #next = 1;

  isOver({ parked, passes, newest }: Found): boolean {
    if (newest !== this.#newest) {
      this.#newest = newest;
      this.#looks = 0;
      this.#next = 1;
    }
    if (!passes || parked > MOST_PARKED) return false;
    if (++this.#looks < this.#next) return false;
    this.#looks = 0;
    this.#next = Math.min(MOST_LOOKS, this.#next * 2);
    return true;
  }
}

async function askForRetry(client: pg.Client, flow: string): Promise<void> {
  await client.query('UPDATE banyan.parked SET retry = true WHERE flow = $1', [flow]);
}
