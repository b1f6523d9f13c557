// The `banyan` command as a real process, and which processes a test has left behind.
import { execFileSync, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitFor } from '../../core/lifecycle.ts';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

export interface Running {
  readonly child: ChildProcessWithoutNullStreams;
  readonly exited: Promise<number>;
  stdout(): string;
  stderr(): string;
  /** Waits until stdout holds the text. */
  says(text: string, timeoutMs?: number): Promise<void>;
}

/** From source, or what is published: `BANYAN=dist/cli/main.js`, after a build. */
const COMMAND =
  process.env['BANYAN'] === undefined
    ? ['--conditions=source', 'cli/main.ts']
    : [process.env['BANYAN']];

/** Starts `banyan` with these arguments. */
export function startBanyan(
  args: readonly string[],
  environment: Record<string, string> = {},
): Running {
  const child = spawn(process.execPath, [...COMMAND, ...args], {
    cwd: ROOT,
    env: { ...process.env, NODE_OPTIONS: '', ...environment },
  });
  let stdout = '';
  let stderr = '';
  let ended = false;
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
  const exited = new Promise<number>((resolve) => {
    child.once('close', (code, signal) => {
      ended = true;
      resolve(code ?? (signal === 'SIGKILL' ? 137 : 143));
    });
  });
  return {
    child,
    exited,
    stdout: () => stdout,
    stderr: () => stderr,
    says: async (text, timeoutMs = 60_000) => {
      await waitFor(
        () => {
          if (stdout.includes(text)) return true;
          if (ended) throw new Error(`ended before it said "${text}": ${stdout} ${stderr}`);
          return false;
        },
        { timeoutMs, what: `the command to say "${text}"` },
      );
    },
  };
}

/** Runs `banyan` to its end. */
export async function banyan(
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const running = startBanyan(args, environment);
  const code = await running.exited;
  return { code, stdout: running.stdout(), stderr: running.stderr() };
}

/** Writes a definition as a configuration file in a folder of its own. */
export function writeConfig(definition: unknown): { file: string; remove(): void } {
  const folder = mkdtempSync(path.join(tmpdir(), 'banyan-config-'));
  const file = path.join(folder, 'banyan.config.mjs');
  writeFileSync(file, `export default ${JSON.stringify(definition)};\n`);
  return {
    file,
    remove: () => {
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Command lines of the processes whose environment holds this mark. */
export function processesWith(mark: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        if (!readFileSync(`/proc/${pid}/environ`, 'latin1').includes(mark)) return [];
        return [readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').slice(0, 120)];
      } catch {
        return [];
      }
    });
}

/** Resident memory of a process, in bytes. */
export function rssBytes(pid: number): number {
  return Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' })) * 1024;
}
