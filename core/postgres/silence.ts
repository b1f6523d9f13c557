// Sessions whose server has gone silent. A connection that a network has dropped without a word looks
// like one whose statement takes long; so a statement without an answer is asked after over a second
// connection. As long as the server works on it, or nobody can tell, it is left alone; when the server
// waits for us as we wait for it, or cannot be reached at all, the connection is given up. What it
// holds at the server would outlive it (a slot, an origin, locks): it is ended there as well.
import type pg from 'pg';
import { BanyanError } from '../errors.ts';

export const SILENCE_MS = 60_000;

/** Looks within the silence that is allowed, and looks in vain that end it. */
const LOOKS = 4;
const IN_VAIN = 3;
const GOODBYE_MS = 1_000;
/** How long the second connection is waited for: the network may lose it as it lost the first. */
const ANSWER_MS = 5_000;
/** How often a session that was given up is looked for at its server; later the server has missed us itself. */
const ENDINGS = 60;
const ENDING_MS = 2_000;

/** The parts of pg's client that say whether an answer is due; it has no public form of them. */
interface Session {
  readonly processID: number | null;
  readonly readyForQuery?: boolean;
  readonly connection: {
    readonly stream: {
      readonly bytesRead: number;
      readonly bytesWritten: number;
      readonly writableLength: number;
      destroy(error?: Error): void;
    };
  };
}

export interface Surroundings {
  readonly applicationName: string;
  /** Opens a further session at the same server, with the same login. */
  readonly open: () => Promise<pg.Client>;
}

const known = new WeakMap<pg.Client, Surroundings>();

/** Takes note of how the server of a session can be reached beside it. */
export function introduce(client: pg.Client, surroundings: Surroundings): void {
  known.set(client, surroundings);
}

/** Watches a session that was introduced, until it ends. */
export function watchSilence(client: pg.Client, silenceMs: number): void {
  const session = sessionOf(client);
  const trafficOf = ({
    bytesRead,
    bytesWritten,
    writableLength,
  }: typeof session.connection.stream) => `${bytesRead} ${bytesWritten} ${writableLength}`;
  let before = '';
  let inVain = 0;
  let looking = false;
  const look = async (): Promise<void> => {
    const { stream } = session.connection;
    const now = trafficOf(stream);
    const isDue = session.readyForQuery === false && now === before;
    before = now;
    const isSilent = isDue && (await isSilentOn(client)) && trafficOf(stream) === now;
    inVain = isSilent ? inVain + 1 : 0;
    if (inVain >= IN_VAIN) abandon(client);
  };
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    void look().finally(() => {
      looking = false;
    });
  }, silenceMs / LOOKS).unref();
  client.once('end', () => {
    clearInterval(timer);
  });
}

/** Whether the server waits for us, or cannot be reached, while an answer is due. */
async function isSilentOn(client: pg.Client): Promise<boolean> {
  let second: pg.Client | undefined;
  try {
    second = await known.get(client)?.open();
    const { rows = [] } =
      (await second?.query<{ own: number | string; works: boolean | null }>(
        bounded(
          `SELECT pg_backend_pid() AS own,
                  (SELECT state NOT LIKE 'idle%' AND wait_event_type IS DISTINCT FROM 'Client'
                     FROM pg_stat_activity WHERE pid = $1 AND usename = current_user) AS works`,
          [sessionOf(client).processID],
        ),
      )) ?? {};
    const [found] = rows;
    // Behind a pooler that gives numbers of its own nothing can be told.
    if (!second || !found || Number(found.own) !== sessionOf(second).processID) return false;
    return found.works !== true;
  } catch {
    return true;
  } finally {
    if (second) await disconnect(second);
  }
}

/** Ends a session politely; one whose server does not answer is given up. */
export async function disconnect(client: pg.Client): Promise<void> {
  const timer = setTimeout(() => {
    abandon(client);
  }, GOODBYE_MS);
  await client.end().catch(() => undefined);
  clearTimeout(timer);
}

/** Gives a session up at once, and has it ended at its server as soon as that can be reached. */
export function abandon(client: pg.Client): void {
  const surroundings = known.get(client);
  const name = surroundings?.applicationName ?? 'unknown';
  sessionOf(client).connection.stream.destroy(
    new BanyanError('DATABASE_UNREACHABLE', `the server of session ${name} does not answer`, {
      hint: 'A new connection is made by itself; look for a network that drops connections without a word.',
    }),
  );
  if (surroundings) void endAtServer(sessionOf(client).processID, surroundings);
}

async function endAtServer(
  processID: number | null,
  { applicationName, open }: Surroundings,
): Promise<void> {
  for (let tries = 0; tries < ENDINGS; tries++)
    try {
      const second = await open();
      try {
        await second.query(
          bounded(
            `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE pid = $1 AND usename = current_user AND starts_with($2, application_name)`,
            [processID, applicationName],
          ),
        );
      } finally {
        await disconnect(second);
      }
      return;
    } catch (error) {
      // Where nobody listens the server is down, and its sessions are gone with it.
      const { cause } = error as { readonly cause?: NodeJS.ErrnoException };
      if (cause?.code === 'ECONNREFUSED') return;
      await pause();
    }
}

/** A statement that fails when no answer comes. The driver's types do not know its setting for one statement. */
function bounded(text: string, values: unknown[]): pg.QueryConfig {
  const config: pg.QueryConfig & { readonly query_timeout: number } = {
    ...{ text, values, query_timeout: ANSWER_MS },
  };
  return config;
}

/** Keeps no process alive. */
function pause(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ENDING_MS).unref();
  });
}

function sessionOf(client: pg.Client): Session {
  return client as unknown as Session;
}
