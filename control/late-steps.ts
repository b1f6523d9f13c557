// Steps that take something away, and that no row guards by itself: another login takes them (a slot, an
// origin), or the row of ownership may be gone by then. Such a step holds a lock in that database, and looks
// inside it whether it still may; whoever builds there raises the epoch first, and then waits for that lock.
// So a coordinator that stands still in the middle of one and wakes up late finds its session ended, or its
// epoch outdated: what its successor has made since is not taken away.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import { sqlState, transaction } from '../core/postgres/connect.ts';

/** One a database: they are few, and short. */
const LOCK = `SELECT pg_advisory_xact_lock(hashtextextended('banyan: takes away', 0))`;
/** Who stands still in the middle of one loses its session, and with it the lock. */
const IDLE_MS = 4_000;
const OUTLAST_MS = 15_000;
/** For the locks of a step itself: its like are short, and who keeps the row for long is no coordinator. */
const ENTER_MS = 8_000;
const LOCK_NOT_AVAILABLE = '55P03';

/** Runs `work` in a transaction of this session. `assertNewest` throws STALE_COORDINATOR where it comes too late. Throws TIMED_OUT. */
export async function takeAway<T>(
  client: pg.Client,
  assertNewest: () => Promise<void>,
  work: () => Promise<T>,
): Promise<T> {
  return transaction(client, async () => {
    await client.query(
      `SET LOCAL idle_in_transaction_session_timeout = ${IDLE_MS}; SET LOCAL lock_timeout = ${ENTER_MS}`,
    );
    await inTime(client, 'somebody keeps locked what is taken away', async () => {
      await client.query(LOCK);
      await assertNewest();
    });
    await client.query('SET LOCAL lock_timeout TO DEFAULT');
    return work();
  });
}

/** Returns once no step that began before is under way here: those that come later see the epoch. Throws TIMED_OUT. */
export async function outlastLateSteps(client: pg.Client): Promise<void> {
  await inTime(client, 'another coordinator is still taking something away', () =>
    transaction(client, async () => {
      await client.query(`SET LOCAL lock_timeout = ${OUTLAST_MS}`);
      await client.query(LOCK);
    }),
  );
}

async function inTime(client: pg.Client, who: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error;
    throw new BanyanError('TIMED_OUT', `${who} in database ${client.database ?? ''}`, {
      hint: 'Wait for it to end, or end it; then give the command again.',
      cause: error,
    });
  }
}
