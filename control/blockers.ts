// Who is in the way of a lock on a capability's tables: sessions and prepared transactions, by what a
// human needs to find them (pid, role, application, age, state) and the shape of what they run: never
// its values, which are a customer's data and would stay in the journal.
import type pg from 'pg';
import { queryShape } from './domain/query-shape.ts';

/** What the lock is for. */
export type LockPurpose =
  /** Triggers that are made: writers are in the way, readers are not. */
  | 'fence'
  /** Triggers that are dropped: whoever has touched the table is in the way. */
  | 'remove';

/** Lock modes that are in nobody's way; those of serializable readers never are. */
const HARMLESS: Readonly<Record<LockPurpose, readonly string[]>> = {
  fence: ['AccessShareLock', 'RowShareLock', 'SIReadLock'],
  remove: ['SIReadLock'],
};

interface Session {
  pid: number;
  role: string;
  application: string;
  age: string;
  state: string;
  query: string;
}

/** One line each for those that have been at it for longer than `olderThanMs`. */
export async function findBlockers(
  client: pg.Client,
  tables: readonly string[],
  olderThanMs: number,
  purpose: LockPurpose,
): Promise<string[]> {
  // Partitions are locked with their table, and may be locked without it.
  const { rows: sessions } = await client.query<Session>(
    `WITH ours AS (
       SELECT coalesce(p.relid, t.oid::regclass) AS relation FROM unnest($2::text[]::regclass[]) AS t(oid)
         LEFT JOIN LATERAL pg_partition_tree(t.oid) p ON true)
     SELECT a.pid, a.usename AS role, a.application_name AS application, a.state, a.query,
            date_trunc('second', clock_timestamp() - a.xact_start)::text AS age
       FROM pg_stat_activity a
      WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
        AND a.xact_start < clock_timestamp() - make_interval(secs => $1)
        AND EXISTS (SELECT 1 FROM pg_locks l JOIN ours ON ours.relation = l.relation
                     WHERE l.pid = a.pid AND (l.mode <> ALL ($3))
                       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
      ORDER BY a.xact_start`,
    [olderThanMs / 1000, tables, HARMLESS[purpose]],
  );
  const { rows: prepared } = await client.query<{ line: string }>(
    `SELECT format('prepared transaction %s of %s', gid, owner) AS line
       FROM pg_prepared_xacts WHERE database = current_database()`,
  );
  return [
    ...sessions.map(
      ({ pid, role, application, age, state, query }) =>
        `pid ${pid} (${[role, application, age, state].filter((part) => part !== '').join(', ')}): ${queryShape(query)}`,
    ),
    ...prepared.map(({ line }) => line),
  ];
}
