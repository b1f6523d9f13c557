// The processes of a benchmark. What is measured runs alone on core 1, everything else (upstream,
// load generator, PostgreSQL) on core 0, so that contenders never compete with what feeds them; where
// `taskset` is missing or there is one core, they share and the output says so. Every process ends
// with the benchmark, whichever way that ends.
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { descendantsOf } from './usage.ts';

export interface Started {
  /** The first line of its stdout. */
  readonly line: string;
  readonly pid: number;
  /** Asks it to end, and resolves when it has. */
  stop(): Promise<void>;
}

export interface Start {
  readonly command: string;
  readonly args: readonly string[];
  /**
   * `measured` gets a core of its own; what is `aside` gets what the helpers leave of theirs; `first:` and a core
   * goes before everything else there.
   */
  readonly place: 'measured' | 'helper' | 'aside' | `first:${string}`;
  /** Cores for what is measured, as `taskset` takes them; core 1 when left out. */
  readonly cores?: string;
  /** A file descriptor for its stderr; ours when left out. */
  readonly stderr?: number;
}

/** Whether processes can be pinned here. */
export const PINNED = availableParallelism() >= 2 && hasTool('taskset', '--version');

const children = new Map<ChildProcess, Promise<unknown>>();
process.once('exit', () => {
  for (const child of children.keys()) child.kill('SIGTERM');
});
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    process.exit(1);
  });

/** Whether a program can be run. */
export function hasTool(name: string, flag: string): boolean {
  try {
    execFileSync(name, [flag], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Whether what is `aside` can be kept out of the way, and others put first. */
export const YIELDS = hasTool('chrt', '--version');

/** Moves this process, the load generator, to core 0. Processes that it starts inherit that. */
export function pinSelf(): void {
  if (PINNED)
    execFileSync('taskset', ['-a', '-c', '-p', '0', String(process.pid)], { stdio: 'ignore' });
}

/** Moves processes of ours aside, and what they start from now on: they get what the helpers leave. */
export function stepAside(pids: readonly number[]): void {
  if (YIELDS) for (const pid of pids) spawnSync('chrt', ['--idle', '-p', '0', String(pid)]);
}

/** Puts this process, and what it starts from now on, before what else the machine does. */
export function goFirst(): void {
  if (YIELDS) spawnSync('chrt', ['-a', '--rr', '-p', '1', String(process.pid)]);
}

/** Starts a process and waits for its first line. */
export async function start(options: Start): Promise<Started> {
  const [command = '', ...args] = [...placing(options), options.command, ...options.args];
  const child = spawn(command, args, {
    stdio: ['pipe', 'pipe', options.stderr ?? 'inherit'],
    env: { ...process.env, NODE_ENV: 'production' },
  });
  children.set(child, new Promise((resolve) => child.once('exit', resolve)));
  child.stdin?.on('error', () => undefined);
  const stdout = child.stdout ?? Readable.from([]);
  for await (const line of createInterface({ input: stdout })) {
    // Whatever else it says is read, or its pipe would fill and it would wait.
    stdout.resume();
    return { line, pid: child.pid ?? 0, stop: () => end(child) };
  }
  throw new Error(`"${[options.command, ...options.args].join(' ')}" ended before it was ready`);
}

function placing({ place, cores }: Start): string[] {
  if (place === 'helper') return [];
  if (place === 'measured') return PINNED ? ['taskset', '-c', cores ?? '1'] : [];
  if (place === 'aside') return YIELDS ? ['chrt', '--idle', '0'] : [];
  return ['taskset', '-c', place.slice('first:'.length), 'chrt', '--fifo', '2'];
}

/** Starts one of this folder's programs with our own Node. */
export function startNode(
  place: Start['place'],
  file: string,
  ...args: string[]
): Promise<Started> {
  const script = fileURLToPath(new URL(file, import.meta.url));
  const profiled =
    process.env['BENCH_PROF'] !== undefined && file.includes(process.env['BENCH_PROF']);
  return start({
    place,
    command: process.execPath,
    args: [...process.execArgv, ...(profiled ? ['--cpu-prof'] : []), script, ...args],
  });
}

/** Ends whatever still runs. */
export async function stopAll(): Promise<void> {
  await Promise.all([...children.keys()].map(end));
}

async function end(child: ChildProcess): Promise<void> {
  const ended = children.get(child);
  if (!ended) return;
  children.delete(child);
  child.stdin?.end();
  child.kill('SIGTERM');
  const timer = setTimeout(() => {
    for (const pid of descendantsOf(child.pid ?? 0)) process.kill(pid, 'SIGKILL');
    child.kill('SIGKILL');
  }, 15_000);
  await ended;
  clearTimeout(timer);
}
