// What a rehearsal tells: how long a switch would keep writers waiting, and who writes beside the facade.
import type { Owner, Phase } from './phase.ts';

/** Somebody who changed what moves while no facade forwarded a write: the fence would refuse him. */
export interface Bypass {
  readonly login: string;
  readonly application: string;
  /** Null for a local socket. */
  readonly address: string | null;
  /** `schema.table` of the owner. */
  readonly table: string;
  readonly operation: string;
  /** That did so; how many rows each of them changed is not counted. */
  readonly transactions: number;
  /** Server processes, the first ten. */
  readonly pids: readonly number[];
  readonly firstAt: string;
  readonly lastAt: string;
}

export interface ReplicaPause {
  readonly replica: string;
  /** From the hold to this replica's acknowledgement: its writes in flight had ended. */
  readonly acknowledgedMs: number;
}

export interface Rehearsal {
  readonly capability: string;
  readonly phase: Phase;
  /** Whose writers were held. */
  readonly owner: Owner;
  readonly at: string;
  /** Holds until a lock could be had. */
  readonly attempts: number;
  /** How long a writer waits in a switch: the three below. */
  readonly pauseMs: number;
  /** Until the last replica had acknowledged. */
  readonly holdMs: number;
  /** Until the owner's tables were locked, and the triggers on them. */
  readonly lockMs: number;
  /** Until the applier of the other side had passed the barrier. */
  readonly drainMs: number;
  readonly replicas: readonly ReplicaPause[];
  /** Signed off by nobody and not heard of: if one still runs, what it forwards is among the bypasses. */
  readonly unheard: readonly string[];
  /** How long writers were watched, inside the hold. */
  readonly watchedMs: number;
  readonly bypasses: readonly Bypass[];
}

export interface RehearsalSum {
  readonly rounds: readonly Rehearsal[];
  readonly pauseMs: { readonly median: number; readonly longest: number };
  readonly watchedMs: number;
  /** Over all rounds, one line for each writer, table and operation. */
  readonly bypasses: readonly Bypass[];
}

/** Several rehearsals of one capability, added up. Throws a RangeError for none. */
export function addUp(rounds: readonly Rehearsal[]): RehearsalSum {
  const pauses = rounds.map((one) => one.pauseMs).sort((a, b) => a - b);
  const longest = pauses.at(-1);
  if (longest === undefined) throw new RangeError('nothing was rehearsed');
  const all = new Map<string, Bypass>();
  for (const one of rounds.flatMap((round) => round.bypasses)) {
    const { login, application, address, table, operation } = one;
    const key = JSON.stringify([login, application, address, table, operation]);
    const before = all.get(key);
    all.set(
      key,
      before
        ? {
            ...before,
            transactions: before.transactions + one.transactions,
            pids: [...new Set([...before.pids, ...one.pids])].slice(0, 10),
            lastAt: one.lastAt,
          }
        : one,
    );
  }
  return {
    rounds,
    pauseMs: { median: pauses[Math.floor(pauses.length / 2)] ?? longest, longest },
    watchedMs: rounds.reduce((sum, one) => sum + one.watchedMs, 0),
    bypasses: [...all.values()],
  };
}
