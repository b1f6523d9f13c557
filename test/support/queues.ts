// Who stands in the queue for a lock on a table: whoever comes after him waits as well.
import type pg from 'pg';
import { sleep, waitFor } from '../../core/lifecycle.ts';

/** Whether anybody was seen to wait for a lock on the table, within this time. */
export async function queuesFor(client: pg.Client, table: string, ms: number): Promise<boolean> {
  const end = performance.now() + ms;
  while (performance.now() < end) {
    const { rows } = await client.query(
      'SELECT 1 FROM pg_locks WHERE NOT granted AND relation = $1::regclass',
      [table],
    );
    if (rows.length > 0) return true;
    await sleep(5);
  }
  return false;
}

/** Begins a transaction with this statement, and waits until it has been open for so long. */
export async function openFor(session: pg.Client, text: string, ms: number): Promise<void> {
  const { rows } = await session.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  await session.query(`BEGIN; ${text}`);
  await waitFor(
    async () => {
      const age = await session.query<{ old: boolean }>(
        `SELECT clock_timestamp() - xact_start > make_interval(secs => $2) AS old FROM pg_stat_activity WHERE pid = $1`,
        [rows[0]?.pid, ms / 1000],
      );
      return age.rows[0]?.old === true;
    },
    { timeoutMs: 30_000, what: 'the transaction to be old' },
  );
}
