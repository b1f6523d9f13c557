// PostgreSQL servers of a test's own, to be killed and started again on the same port: what a power
// cut does to a server, as far as a running machine can do it.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { waitFor } from '../../core/lifecycle.ts';
import { freePort } from '../../core/free-port.ts';
import { startEmbedded, type EmbeddedPostgres } from '../../core/postgres/embedded.ts';

export interface OwnServer {
  readonly port: number;
  /** Its folder; the data are in `data`. */
  readonly home: string;
  /** Superuser URL. */
  url(database?: string): string;
  /** SIGKILL for the postmaster and whatever it has started; resolves when all of them are gone. */
  kill(): Promise<void>;
  /** Starts it again, with crash recovery where that is needed. */
  start(): Promise<void>;
  /** Fast shutdown. */
  stop(): Promise<void>;
  /** Ends it and removes its folder. */
  remove(): Promise<void>;
}

export interface OwnServerOptions {
  /** Settings, as `name=value`. */
  readonly settings?: readonly string[];
  /** A folder that is there already, with data; it is removed with the server. */
  readonly home?: string;
}

/** One that is killed leaves no memory behind that outlives its folder. */
const SETTINGS = ['dynamic_shared_memory_type=mmap'];

/** A server that is not running yet. */
export async function ownServer(options: OwnServerOptions = {}): Promise<OwnServer> {
  const home = options.home ?? (await mkdtemp(path.join(tmpdir(), 'banyan-server-')));
  const port = await freePort();
  let running: EmbeddedPostgres | undefined;
  const stop = async (): Promise<void> => {
    await running?.stop();
  };
  return {
    port,
    home,
    url: (database) => {
      if (!running) throw new Error('the server was never started');
      return running.url(database);
    },
    kill: async () => {
      const [postmaster = ''] = (
        await readFile(path.join(home, 'data', 'postmaster.pid'), 'utf8')
      ).split('\n');
      // Held first, so that it starts nothing more behind our back.
      process.kill(Number(postmaster), 'SIGSTOP');
      const all = [Number(postmaster), ...childrenOf(postmaster)];
      for (const pid of all)
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // Gone with its parent.
        }
      await waitFor(() => all.every(isGone), {
        timeoutMs: 30_000,
        everyMs: 5,
        what: 'the server’s processes to be gone',
      });
      await stop();
    },
    start: async () => {
      running = await startEmbedded({
        ...{ directory: home, port, like: process.env['BANYAN_TEST_LIKE'] },
        settings: [...SETTINGS, ...(options.settings ?? [])],
      });
    },
    stop,
    remove: async () => {
      await stop();
      await rm(home, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

/**
 * A hot standby of a primary that has been stopped: a copy of its folder that follows it by a slot of
 * its own, logical slots included (PostgreSQL 17 and later). Starts neither of them.
 */
export async function standbyOf(primary: OwnServer, slot: string): Promise<OwnServer> {
  const home = await mkdtemp(path.join(tmpdir(), 'banyan-standby-'));
  execFileSync('cp', ['-a', `${primary.home}/.`, home]);
  await writeFile(path.join(home, 'data', 'standby.signal'), '');
  const { username, password } = new URL(primary.url());
  return ownServer({
    home,
    settings: [
      `primary_conninfo=host=127.0.0.1 port=${primary.port} user=${username} password=${password} dbname=postgres`,
      ...[`primary_slot_name=${slot}`, 'hot_standby_feedback=on', 'sync_replication_slots=on'],
    ],
  });
}

function childrenOf(pid: string): number[] {
  try {
    return execFileSync('ps', ['-o', 'pid=', '--ppid', pid], { encoding: 'utf8' })
      .split('\n')
      .map(Number)
      .filter((child) => child > 0);
  } catch {
    return [];
  }
}

/** Nobody need have reaped it. */
function isGone(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.startsWith('Z') ?? true;
  } catch {
    return true;
  }
}
