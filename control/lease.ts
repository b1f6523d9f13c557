// One coordinator a capability at a time: a session lock in the control database. It ends with the
// session, so a coordinator that was killed does not keep the next one out. One that only stands still
// (a stopped process, a machine that sleeps) would: the session shows that its holder lives, and one
// that has not done so for the lease's length is ended by whoever waits. All by the control database's
// clock. That the old holder may still be on its way is what the epoch in each database is for, and
// `assertHeld` wherever no epoch guards a step.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import { connect } from '../core/postgres/connect.ts';
import { disconnect } from '../core/postgres/silence.ts';
import { sleep } from '../core/lifecycle.ts';
import { scalar } from './scalar.ts';

const POLL_MS = 100;
const BEAT_MS = 1_000;
/** A holder that has been silent for this long is taken for dead. */
const LEASE_MS = 6_000;

export interface Lease {
  /** Throws STALE_COORDINATOR once it was lost: somebody else may be at the capability. */
  assertHeld(): Promise<void>;
}

/** Waits up to `waitMs` while somebody else holds it, then throws MOVE_IN_PROGRESS. */
export async function withLease<T>(
  controlUrl: string,
  capability: string,
  work: (lease: Lease) => Promise<T>,
  waitMs = 5_000,
): Promise<T> {
  const client = await connect(controlUrl, { applicationName: 'banyan-lease' });
  try {
    const deadline = performance.now() + waitMs;
    let taken = await take(client, capability);
    while (!taken && performance.now() < deadline) {
      await sleep(POLL_MS);
      taken = await take(client, capability);
    }
    if (!taken)
      throw new BanyanError(
        'MOVE_IN_PROGRESS',
        `capability "${capability}" is being moved by somebody else`,
        {
          hint: 'Wait for that move to end; `banyan status` shows it.',
        },
      );
    return await held(client, capability, work);
  } finally {
    await disconnect(client);
  }
}

async function held<T>(
  client: pg.Client,
  capability: string,
  work: (lease: Lease) => Promise<T>,
): Promise<T> {
  let isAsked = false;
  const beat = setInterval(() => {
    // A server that stands still is asked once, and not once more for every beat.
    if (isAsked) return;
    isAsked = true;
    // Whoever needs to know asks for itself.
    void client
      .query('SELECT 1')
      .catch(() => undefined)
      .finally(() => {
        isAsked = false;
      });
  }, BEAT_MS);
  try {
    return await work({
      // The lock is the session's: as long as that answers, nobody else has it.
      assertHeld: async () => {
        try {
          await client.query('SELECT 1');
        } catch (cause) {
          throw new BanyanError(
            'STALE_COORDINATOR',
            `this coordinator has lost its lease of capability "${capability}"`,
            { hint: 'Another one may have taken over: look at `banyan status`.', cause },
          );
        }
      },
    });
  } finally {
    clearInterval(beat);
  }
}

const KEY = `hashtextextended('banyan:' || $1, 0)`;

/** Takes the lock; where its holder has gone silent, that one's session ends, and the next try has it. */
async function take(client: pg.Client, capability: string): Promise<boolean> {
  if ((await scalar(client, `SELECT pg_try_advisory_lock(${KEY})`, [capability])) === 'true')
    return true;
  await client.query(
    `SELECT pg_terminate_backend(a.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
      WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (l.classid::bigint << 32 | l.objid::bigint) = ${KEY}
        AND a.usename = current_user AND a.state LIKE 'idle%'
        AND a.state_change < clock_timestamp() - make_interval(secs => $2)`,
    [capability, LEASE_MS / 1000],
  );
  return false;
}
