// What every subcommand begins with: the configuration file loaded and checked, its references
// resolved, the control database up to date. The only place that reads the environment.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Knex } from 'knex';
import { BanyanError, isBanyanError, messageOf } from '../core/errors.ts';
import { sleep } from '../core/lifecycle.ts';
import { compileRoutes } from '../facade/domain/routes.ts';
import { createLogger, type Logger, type LogLevel } from '../core/log.ts';
import { resolveConnections, type Connections } from '../control/connections.ts';
import { Coordinator } from '../control/coordinator.ts';
import { defineMigration } from '../control/define.ts';
import type { Migration, MigrationInput } from '../control/definition.ts';
import { migrateControl, openControl } from '../control/store.ts';
import type { CoordinatorOptions } from '../control/workplace.ts';

/** Between two attempts of an edge to prepare a control database that it waits for. */
const PREPARE_AGAIN_MS = 500;

export interface GlobalOptions {
  readonly config: string;
  readonly json: boolean;
  readonly logLevel: LogLevel;
}

export interface Loaded {
  readonly migration: Migration;
  readonly connections: Connections;
  /** Folder of the configuration file. */
  readonly directory: string;
}

export interface Context extends Loaded {
  readonly controlUrl: string;
  readonly db: Knex;
  readonly log: Logger;
  readonly who: string;
  coordinator(more?: Pick<CoordinatorOptions, 'interrupts'>): Coordinator;
  close(): Promise<void>;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** An edge asks for no login but that of the control database. */
type Role = 'all' | 'edge';

export interface LoadOptions {
  readonly environment?: Environment;
  readonly role?: Role;
}

/**
 * Loads the configuration. Variables that are not set are taken from what a running `banyan demo` or
 * `banyan up` has left beside the file. Throws CONFIG_INVALID.
 */
export async function loadConfig(
  file: string,
  { environment = process.env, role = 'all' }: LoadOptions = {},
): Promise<Loaded> {
  const absolute = path.resolve(file);
  if (!existsSync(absolute))
    throw new BanyanError('CONFIG_INVALID', `there is no configuration file ${file}`, {
      hint: 'Write one (the README shows how), or name it with --config.',
    });
  const directory = path.dirname(absolute);
  const running = readRunning(directory);
  // A definition may look at variables itself, while it is loaded.
  for (const [name, value] of Object.entries(running.environment ?? {}))
    process.env[name] ??= value;
  let loaded: { default?: unknown };
  try {
    loaded = (await import(pathToFileURL(absolute).href)) as { default?: unknown };
  } catch (error) {
    if (error instanceof BanyanError) throw error;
    throw new BanyanError('CONFIG_INVALID', `${file} cannot be loaded: ${messageOf(error)}`, {
      hint: 'It is an ES module whose default export is defineMigration({ … }).',
      cause: error,
    });
  }
  if (typeof loaded.default !== 'object' || loaded.default === null)
    throw new BanyanError('CONFIG_INVALID', `${file} has no default export`, {
      hint: 'export default defineMigration({ … })',
    });
  // A checked definition passes unchanged; a plain object is checked here.
  const migration = defineMigration(loaded.default as MigrationInput);
  // Two routes that cannot be told apart are a mistake of the definition as well.
  compileRoutes(migration.capabilities);
  return {
    migration,
    connections: resolveConnections(migration, { ...running.environment, ...environment }, role),
    directory,
  };
}

/** Loads the configuration and finds the control database. Throws CONFIG_INVALID. */
export async function locate(
  config: string,
  role: Role = 'all',
): Promise<Loaded & { readonly controlUrl: string }> {
  const loaded = await loadConfig(config, { role });
  const controlUrl = loaded.connections.control ?? readRunning(loaded.directory).control;
  if (controlUrl === undefined)
    throw new BanyanError('CONFIG_INVALID', 'the definition names no control database', {
      hint: "Add `control: env('BANYAN_CONTROL_URL')`; or start `banyan up` beside this file: it brings one, and while it runs the other commands find it.",
    });
  return { ...loaded, controlUrl };
}

/** Loads the configuration and opens the control database. */
export async function openContext(
  options: GlobalOptions,
  part = 'cli',
  role: Role = 'all',
): Promise<Context> {
  const { controlUrl, ...loaded } = await locate(options.config, role);
  return contextOf(loaded, controlUrl, options, part, role);
}

export async function contextOf(
  loaded: Loaded,
  controlUrl: string,
  options: GlobalOptions,
  part: string,
  role: Role = 'all',
): Promise<Context> {
  const log = createLogger({ part }, options.logLevel);
  const closed = new AbortController();
  let prepared: Promise<void> | undefined;
  try {
    await migrateControl(controlUrl);
  } catch (error) {
    // An edge waits: it comes up with its machine, whatever does not.
    if (role !== 'edge' || !isBanyanError(error, 'DATABASE_UNREACHABLE')) throw error;
    log.warn('the control database does not answer: the edge serves nothing until it does', {
      error: error.message,
    });
    prepared = prepareLater(controlUrl, log, closed.signal);
  }
  const db = openControl(controlUrl);
  const who = process.env['BANYAN_WHO'] ?? `${userInfo().username}@${hostname()}`;
  return {
    ...loaded,
    controlUrl,
    db,
    log,
    who,
    coordinator: (more = {}) => new Coordinator({ ...loaded, controlUrl, db, who, log, ...more }),
    close: async () => {
      closed.abort();
      await prepared;
      await db.destroy();
    },
  };
}

/** Brings the control database up to date once it is there: until then it may be empty, or an older version's. */
async function prepareLater(controlUrl: string, log: Logger, signal: AbortSignal): Promise<void> {
  let last: string | undefined;
  for (;;) {
    await sleep(PREPARE_AGAIN_MS, signal);
    if (signal.aborted) return;
    try {
      await migrateControl(controlUrl);
      return;
    } catch (error) {
      const said = messageOf(error);
      // That it does not answer has been said.
      if (said !== last && !isBanyanError(error, 'DATABASE_UNREACHABLE'))
        log.error('the control database cannot be prepared', { error: said });
      last = said;
    }
  }
}

/** What a running `banyan up` or `banyan demo` tells the other commands, in a file that only its user may read. */
export interface Running {
  /** The process that left it; nothing counts once that has ended. */
  readonly pid: number;
  /** When it began, where the system says that: another process may have its number by now. */
  readonly began?: string | undefined;
  readonly control?: string;
  readonly environment?: Environment;
}

const RUNNING = '.banyan/running.json';

/** What a process that still runs has left; nothing where there is none. */
export function readRunning(directory: string): Partial<Running> {
  const file = path.join(directory, RUNNING);
  if (!existsSync(file)) return {};
  const running = JSON.parse(readFileSync(file, 'utf8')) as Running;
  // Ours stands for whoever had the number before us: in a container that is often the same one.
  if (running.pid === process.pid || !isAlive(running.pid)) return {};
  const began = startOf(running.pid);
  return began === undefined || running.began === undefined || began === running.began
    ? running
    : {};
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** In ticks since the machine began; undefined where there is no such file. See proc(5), field 22 of `stat`. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

/** Leaves it; undefined takes it away. */
export function writeRunning(
  directory: string,
  running: Omit<Running, 'pid' | 'began'> | undefined,
): void {
  const file = path.join(directory, RUNNING);
  if (running === undefined) {
    rmSync(file, { force: true });
    return;
  }
  mkdirSync(path.dirname(file), { recursive: true });
  rmSync(file, { force: true });
  writeFileSync(
    file,
    JSON.stringify({ pid: process.pid, began: startOf(process.pid), ...running }),
    { mode: 0o600 },
  );
}
