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

/** A session, or a prepared transaction, that is in the way. */
export interface Blocker {
  /** What a human needs to find it. */
  readonly line: string;
  /** Undefined for a prepared transaction, which only a human may end. */
  readonly session: BlockingSession | undefined;
}

export interface BlockingSession {
  readonly pid: number;
  readonly began: string;
  readonly state: string;
  readonly role: string;
  /** The server's own worker. */
  readonly isVacuum: boolean;
}

interface Session extends BlockingSession {
  application: string;
  age: string;
  query: string;
}

/** One line each for those that have been at it for longer than `olderThanMs`. */
export async function findBlockers(
  client: pg.Client,
  tables: readonly string[],
  olderThanMs: number,
  purpose: LockPurpose,
): Promise<string[]> {
  return (await blockersOf(client, tables, olderThanMs, purpose)).map(({ line }) => line);
}

/** Partitions are locked with their table, and may be locked without it. A table may be gone. */
const OURS = `ours AS (
  SELECT coalesce(p.relid, to_regclass(t.name)) AS relation FROM unnest($1::text[]) AS t(name)
    LEFT JOIN LATERAL pg_partition_tree(to_regclass(t.name)) p ON true)`;
const LOCKED = `SELECT 1 FROM pg_locks l JOIN ours ON ours.relation = l.relation
  WHERE l.mode <> ALL ($2) AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
const OF_SESSION = `a.pid, a.xact_start::text AS began, coalesce(a.usename, '') AS role, a.application_name AS application,
  coalesce(a.state, '') AS state, a.query, a.backend_type = 'autovacuum worker' AS "isVacuum",
  date_trunc('second', clock_timestamp() - a.xact_start)::text AS age`;
/** Of a prepared transaction: it has its own number locked, and nobody's process number. */
const VIRTUAL = `SELECT t.virtualtransaction FROM pg_locks t
  WHERE t.locktype = 'transactionid' AND t.pid IS NULL AND t.transactionid = x.transaction`;
const PREPARED = `format('prepared transaction %s of %s', x.gid, x.owner) AS line`;

/** The same, for who must tell them apart. */
export async function blockersOf(
  client: pg.Client,
  tables: readonly string[],
  olderThanMs: number,
  purpose: LockPurpose,
): Promise<Blocker[]> {
  const given = [tables, HARMLESS[purpose]];
  const { rows: sessions } = await client.query<Session>(
    `WITH ${OURS} SELECT ${OF_SESSION} FROM pg_stat_activity a
      WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
        AND a.xact_start < clock_timestamp() - make_interval(secs => $3)
        AND EXISTS (${LOCKED} AND l.pid = a.pid)
      ORDER BY a.xact_start`,
    [...given, olderThanMs / 1000],
  );
  const { rows: prepared } = await client.query<{ line: string }>(
    `WITH ${OURS} SELECT ${PREPARED} FROM pg_prepared_xacts x
      WHERE x.database = current_database() AND EXISTS (${LOCKED} AND l.pid IS NULL AND l.virtualtransaction IN (${VIRTUAL}))`,
    given,
  );
  return [
    ...sessions.map((session) => ({ line: lineOf(session), session })),
    ...prepared.map(({ line }) => ({ line, session: undefined })),
  ];
}

/** Whoever has changed anything anywhere on this server and has not ended: a slot that is made waits for them all. */
export async function findWriters(client: pg.Client, olderThanMs: number): Promise<string[]> {
  const { rows: sessions } = await client.query<Session>(
    `SELECT ${OF_SESSION} FROM pg_stat_activity a
      WHERE a.pid <> pg_backend_pid() AND a.backend_xid IS NOT NULL
        AND a.xact_start < clock_timestamp() - make_interval(secs => $1) ORDER BY a.xact_start`,
    [olderThanMs / 1000],
  );
  const { rows: prepared } = await client.query<{ line: string }>(
    `SELECT ${PREPARED} FROM pg_prepared_xacts x`,
  );
  return [...sessions.map(lineOf), ...prepared.map(({ line }) => line)];
}

function lineOf({ pid, role, application, age, state, query }: Session): string {
  const about = [role, application, age, state].filter((part) => part !== '').join(', ');
  return `pid ${pid} (${about}): ${queryShape(query)}`;
}
