// Until when a copy waits for transactions that were open as its flow began: none of its chunks counts that
// does not see them. One that was open already when a table was published, or published otherwise, is waited
// for to its end: what it changed before that is sent by nobody, whenever it commits, and only a read that
// sees it has it.
import type pg from 'pg';
import type { sleep } from '../core/lifecycle.ts';
import { rawRows } from '../core/postgres/connect.ts';
import type { Copying } from './copying.ts';

/** Far longer than it takes to make a commit visible. */
const SUSPECT_MS = 10_000;
const LOOK_MS = 1_000;

export interface TrustOptions {
  readonly copying: Copying;
  /** Session at the source. */
  readonly source: pg.Client;
  /** From which transaction on all tables have been published as they are. */
  readonly since: string;
  /** Hears, once, whom the copy waits for. */
  readonly onWait: (transactions: readonly string[]) => void;
  readonly pause: typeof sleep;
}

/**
 * A commit that is in the WAL is invisible for a moment, and for longer only while a synchronous standby is waited
 * for. Without one, what runs on for that long is under way: where the stream brings all of it, a copy need not
 * wait for its end.
 */
export async function trust(options: TrustOptions, signal: AbortSignal): Promise<void> {
  const { copying, source, since, onWait, pause } = options;
  let isTold = false;
  for (;;) {
    await pause(copying.waits ? LOOK_MS : SUSPECT_MS, signal);
    if (signal.aborted) return;
    const [row] = await rawRows(
      source,
      `SELECT pg_snapshot_xmin(pg_current_snapshot()) < $1::xid8, current_setting('synchronous_standby_names') = ''`,
      [since],
    );
    const [isOlder, isAlone] = row ?? [];
    copying.waits = isOlder === 't';
    if (!copying.waits && isAlone === 't') {
      copying.trust();
      return;
    }
    if (!copying.waits || !copying.running || isTold) continue;
    isTold = true;
    onWait(await olderThan(source, since));
  }
}

/** Sessions and prepared transactions, as far as a login without rights to statistics sees them. */
async function olderThan(source: pg.Client, since: string): Promise<string[]> {
  const rows = await rawRows(
    source,
    `SELECT coalesce('pid ' || l.pid || ' (' || concat_ws(', ', a.usename, nullif(a.application_name, '')) || ')',
                     'prepared transaction ' || x.gid, 'transaction ' || l.transactionid)
       FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
       LEFT JOIN pg_prepared_xacts x ON l.pid IS NULL AND x.transaction = l.transactionid
      WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted
        AND age(l.transactionid) > age($1::xid8::xid) ORDER BY age(l.transactionid) DESC`,
    [since],
  );
  return rows.flatMap(([line]) => line ?? []);
}
