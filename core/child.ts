// Child processes that do not outlive us. A guard shell stands between: it ends the child with the
// given signal when our end of its pipe closes, so not even a kill -9 of ours leaves one behind. The
// child is in a session of its own: Ctrl-C reaches only us, and we stop things in order.
import { spawn, type ChildProcess } from 'node:child_process';

export interface ChildOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** What ends it politely; PostgreSQL's fast shutdown is INT. */
  readonly endWith: 'INT' | 'TERM';
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** A folder to remove once the child has ended, even when we are gone by then. */
  readonly removeAfter?: string | undefined;
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
}

export interface Child {
  /** Of the guard, which leads the process group that the child is in; 0 where it could not be started. */
  readonly pid: number;
  /** Resolves with the exit code (128 + signal when killed). */
  readonly exited: Promise<number>;
  /** Exit code, while it is known. */
  readonly exitCode: number | undefined;
  /** The last lines of its stderr, in one line. */
  lastWords(): string;
  /** Calls back for each line of its stdout. */
  onLine(listener: (line: string) => void): void;
  /** Ends it with its signal, after `graceMs` with KILL; resolves when it is gone. */
  stop(graceMs?: number): Promise<void>;
  /** kill -9; resolves when it is gone. What was to be removed after it stays. */
  kill(): Promise<void>;
}

// $1 is the signal, $2 a folder to remove at the end or nothing. The child starts before the guard ignores signals, or it would inherit that.
const GUARD = `exec 3<&0; sig=$1; folder=$2; shift 2
"$@" 3<&- </dev/null & child=$!
trap "" INT TERM
{ cat <&3; kill -$sig $child; } >/dev/null 2>&1 & watcher=$!
exec 3<&-
wait $child; code=$?
kill -KILL $watcher 2>/dev/null
[ -n "$folder" ] && cd / && rm -rf "$folder"
exit $code`;

export function startChild(options: ChildOptions): Child {
  const guard = spawn(
    '/bin/sh',
    [
      '-c',
      GUARD,
      'banyan-guard',
      options.endWith,
      options.removeAfter ?? '',
      options.command,
      ...options.args,
    ],
    {
      ...options.owner,
      ...(options.cwd !== undefined && { cwd: options.cwd }),
      ...(options.env && { env: options.env }),
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
    },
  );
  guard.stdin.on('error', () => undefined);
  let exitCode: number | undefined;
  const exited = new Promise<number>((resolve) => {
    const done = (code: number): void => {
      exitCode = code;
      // What still waits for our end to close, in the guard, may go.
      guard.stdin.destroy();
      resolve(code);
    };
    guard.once('error', () => {
      done(127);
    });
    guard.once('exit', (code) => {
      done(code ?? 137);
    });
  });
  let words = '';
  guard.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    words = (words + chunk).slice(-4_000);
  });
  const listeners = lines(guard);
  return {
    pid: guard.pid ?? 0,
    exited,
    get exitCode() {
      return exitCode;
    },
    lastWords: () => words.trim().split('\n').slice(-5).join(' | '),
    onLine: (listener) => {
      listeners.push(listener);
    },
    stop: async (graceMs = 20_000) => {
      guard.stdin.end();
      const timer = setTimeout(() => {
        if (guard.pid !== undefined && exitCode === undefined) killGroup(guard.pid);
      }, graceMs);
      await exited;
      clearTimeout(timer);
    },
    kill: async () => {
      if (guard.pid !== undefined && exitCode === undefined) killGroup(guard.pid);
      await exited;
    },
  };
}

function lines(child: ChildProcess): ((line: string) => void)[] {
  const listeners: ((line: string) => void)[] = [];
  let rest = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    const parts = (rest + chunk).split('\n');
    rest = parts.pop() ?? '';
    for (const line of parts) for (const listener of listeners) listener(line);
  });
  return listeners;
}

/** The guard leads a session: its process group holds the child too. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Gone already.
  }
}
