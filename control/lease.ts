// One coordinator a capability at a time: a session lock in the control database. It ends with the
// session, so a coordinator that was killed does not keep the next one out; that the killed one may
// still be on its way is what the epoch in each database is for.
import { BanyanError } from '../core/errors.ts';
import { connect } from '../core/postgres/connect.ts';
import { disconnect } from '../core/postgres/silence.ts';
import { sleep } from '../core/lifecycle.ts';
import { scalar } from './participant.ts';

const POLL_MS = 100;

/** Waits up to `waitMs` while somebody else holds it, then throws MOVE_IN_PROGRESS. */
export async function withLease<T>(
  controlUrl: string,
  capability: string,
  work: () => Promise<T>,
  waitMs = 5_000,
): Promise<T> {
  const client = await connect(controlUrl, { applicationName: 'banyan-lease' });
  try {
    const deadline = performance.now() + waitMs;
    const take = async (): Promise<boolean> =>
      (await scalar(client, `SELECT pg_try_advisory_lock(hashtextextended('banyan:' || $1, 0))`, [
        capability,
      ])) === 'true';
    let taken = await take();
    while (!taken && performance.now() < deadline) {
      await sleep(POLL_MS);
      taken = await take();
    }
    if (!taken)
      throw new BanyanError(
        'MOVE_IN_PROGRESS',
        `capability "${capability}" is being moved by somebody else`,
        {
          hint: 'Wait for that move to end; `banyan status` shows it.',
        },
      );
    return await work();
  } finally {
    await disconnect(client);
  }
}
