// An edge on a single core. V8 marks and sweeps in threads of its own, meant for cores of their own. Where
// the process has but one, they take it from the program: a tenth of a second, every ten seconds, in which
// hardly anything is answered. There the process starts anew with a collector that does its work in small
// steps between the program's (measured: p99 in such a second 50 → 4 ms). V8 takes that only at its start.
import { accessSync, constants } from 'node:fs';
import { availableParallelism } from 'node:os';

const FLAG = '--single-threaded-gc';
/** Whoever has said which collector he wants gets that one. */
const SAID = /^--(no-?)?single[-_]threaded([-_]gc)?$/;

/** What so many processes are started with that share this machine's cores. */
export function flagsForShare(processes: number): readonly string[] {
  const isSaid = process.execArgv.some((one) => SAID.test(one));
  return processes < availableParallelism() || isSaid ? [] : [FLAG];
}

/** Replaces this process by one with the flags, where it needs them and the system can do that. */
export function restartForOneCore(): void {
  const flags = flagsForShare(1);
  // A process that its parent talks to would lose the channel.
  if (flags.length === 0 || process.channel || typeof process.execve !== 'function') return;
  const args = [process.execPath, ...flags, ...process.execArgv, ...process.argv.slice(1)];
  try {
    // A call that the kernel refuses ends the process, and cannot be caught.
    accessSync(process.execPath, constants.X_OK);
    process.execve(process.execPath, args, process.env);
  } catch {
    // Windows has no such call, and a policy may forbid it: it runs as it is.
  }
}
