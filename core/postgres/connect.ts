// Connections. Every session of ours speaks the same text dialect (UTC, ISO dates, hex bytea), so
// that a value read on one side can be written on the other; every failure to connect is one clear
// error that names the server and the role and never the password.
import pg from 'pg';
import { BanyanError, messageOf } from '../errors.ts';
import { quoteIdentifier } from './identifiers.ts';
import { disconnect, introduce, SILENCE_MS, watchSilence } from './silence.ts';

/**
 * Session settings that make text values comparable between two servers, and let a server find out
 * within a minute that the machine on our end is gone. What else a database or a role may set otherwise
 * must not change what we read and write: rows that a policy hides are an error, NULL in an array is no
 * text, each statement sees what was committed before it.
 */
const SETTINGS = [
  '-c datestyle=ISO,YMD',
  '-c timezone=UTC',
  '-c intervalstyle=postgres',
  '-c bytea_output=hex',
  '-c extra_float_digits=3',
  '-c lc_monetary=C',
  '-c client_encoding=UTF8',
  '-c row_security=off',
  '-c array_nulls=on',
  '-c standard_conforming_strings=on',
  '-c xmloption=content',
  '-c default_transaction_isolation=read\\ committed',
  '-c statement_timeout=0',
  '-c idle_session_timeout=0',
  '-c idle_in_transaction_session_timeout=0',
  '-c tcp_keepalives_idle=30',
  '-c tcp_keepalives_interval=10',
  '-c tcp_keepalives_count=3',
].join(' ');

export interface ConnectOptions {
  /** Shown in pg_stat_activity. */
  readonly applicationName: string;
  readonly connectTimeoutMs?: number;
  /** Opens a walsender connection instead of an ordinary one. */
  readonly replication?: boolean;
  /** How long a server may owe an answer before it is asked whether it still works on it. */
  readonly silenceMs?: number | undefined;
}

/** Values stay the text that PostgreSQL sent: no driver parses a number or a date on our way. */
const RAW_TEXT: pg.CustomTypesConfig = { getTypeParser: () => (value: string) => value };

/** pg's settings for a URL, in our dialect. */
export function clientConfig(url: string, options: ConnectOptions): pg.ClientConfig {
  return {
    connectionString: url,
    application_name: options.applicationName,
    connectionTimeoutMillis: options.connectTimeoutMs ?? 5_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    options: SETTINGS,
    ...(options.replication ? { replication: 'database' } : {}),
  };
}

/**
 * Opens one connection. Throws DATABASE_UNREACHABLE. It fails by itself when its server goes silent;
 * a walsender's silence is its reader's to find.
 */
export async function connect(url: string, options: ConnectOptions): Promise<pg.Client> {
  const client = await open(url, options);
  watch(client, url, options);
  return client;
}

/** Watches a session that was opened with these settings. */
export function watch(client: pg.Client, url: string, options: ConnectOptions): void {
  const { applicationName, silenceMs = SILENCE_MS } = options;
  const second = { applicationName: 'banyan-silence' };
  introduce(client, { applicationName, open: () => open(url, second) });
  if (!options.replication) watchSilence(client, silenceMs);
}

async function open(url: string, options: ConnectOptions): Promise<pg.Client> {
  let client: pg.Client | undefined;
  try {
    client = new pg.Client(clientConfig(url, options));
    // Errors of an idle connection surface at the next query; without a listener they would end the process.
    client.on('error', () => undefined);
    await client.connect();
    return client;
  } catch (error) {
    // A login that failed half-way would stay with the server until its authentication times out.
    void client?.end().catch(() => undefined);
    throw unreachable(url, error);
  }
}

/** Runs `work` on a connection of its own and closes it. */
export async function withClient<T>(
  url: string,
  options: ConnectOptions,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = await connect(url, options);
  try {
    return await work(client);
  } finally {
    await disconnect(client);
  }
}

/** Runs `work` in one transaction; rolls back and rethrows when it fails. */
export async function transaction<T>(client: pg.ClientBase, work: () => Promise<T>): Promise<T> {
  await client.query('BEGIN');
  try {
    const result = await work();
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

/** `host:port/database as role`: what may be shown of a URL. */
export function describeUrl(url: string): string {
  try {
    const { hostname, port, pathname, username } = new URL(url);
    const role = username === '' ? '' : ` as ${decodeURIComponent(username)}`;
    return `${hostname}:${port || '5432'}${decodeURIComponent(pathname)}${role}`;
  } catch {
    return 'an unreadable connection URL';
  }
}

function unreachable(url: string, cause: unknown): BanyanError {
  return new BanyanError(
    'DATABASE_UNREACHABLE',
    `cannot connect to ${describeUrl(url)}: ${messageOf(cause)}`,
    { hint: hintFor(url, sqlState(cause)), cause },
  );
}

/** A server that refuses answers: then host and port are right. */
function hintFor(url: string, state: string | undefined): string {
  if (state === undefined || !URL.canParse(url)) return NO_ANSWER;
  const { pathname, username } = new URL(url);
  const role = quoteIdentifier(decodeURIComponent(username));
  if (state === '3D000') {
    const database = quoteIdentifier(decodeURIComponent(pathname.slice(1)));
    return `The server answers and has no such database. Make it, CREATE DATABASE ${database} OWNER ${role}, or correct its name.`;
  }
  if (state === '28P01')
    return `The server answers: there is no such role, or its password is another one. A role that \`banyan grants\` has made has none until it is given one: ALTER ROLE ${role} PASSWORD '…'.`;
  return NO_ANSWER;
}

const NO_ANSWER =
  'Check that the server runs, that host and port are right, and that pg_hba.conf lets this role in.';

/** The SQLSTATE of a server's error, where there is one. */
export function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

/** True when the connection is the trouble and a new one may work. */
export function isConnectionError(error: unknown): boolean {
  if (error instanceof BanyanError) return error.code === 'DATABASE_UNREACHABLE';
  const state = sqlState(error);
  // 08: connection exceptions; 57P0x and 25P03: the server shuts down or ended the session; 53300: too many.
  if (state !== undefined) return /^(08|57P0|53300|25P03)/.test(state);
  if (typeof error !== 'object' || error === null) return false;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code !== undefined)
    return /^(ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EHOSTUNREACH|EAI_AGAIN)/.test(code);
  return CONNECTION_LOST.has(message);
}

/** True when a server was reached and will not do it: no right to it, no slot left. */
export function isServerError(error: unknown): boolean {
  return sqlState(error) !== undefined && !isConnectionError(error);
}

// The driver gives these two no code of their own.
const CONNECTION_LOST = new Set([
  'Connection terminated unexpectedly',
  'Connection terminated',
  'Client has encountered a connection error and is not queryable',
  'Client was closed and is not queryable',
]);

/** Runs a query and gives its rows as arrays of PostgreSQL's own text. */
export async function rawRows(
  client: pg.ClientBase,
  text: string,
  values: readonly (string | null)[] = [],
): Promise<(string | null)[][]> {
  const { rows } = await client.query<(string | null)[]>({
    text,
    values: [...values],
    types: RAW_TEXT,
    rowMode: 'array',
  } as pg.QueryArrayConfig);
  return rows;
}
