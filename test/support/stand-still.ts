// A coordinator of this process that stands still before a statement of its choice, as a stopped process or a
// machine that sleeps would, and what lets another one take over from it.
import pg from 'pg';
import type { Pair } from './pair.ts';

export interface Stop {
  /** Once a statement that matches is about to be sent. */
  readonly reached: Promise<unknown>;
  wake(): void;
  restore(): void;
}

/** Holds back the next statement of this process that matches; those that come after it pass. */
export function stopAt(pattern: RegExp): Stop {
  type Query = (...all: unknown[]) => unknown;
  const prototype = pg.Client.prototype as unknown as { query: Query };
  const original = prototype.query;
  const reached = Promise.withResolvers<undefined>();
  const sleeping = Promise.withResolvers<undefined>();
  let isOver = false;
  prototype.query = function (this: unknown, ...all) {
    const [given] = all;
    const text = typeof given === 'string' ? given : (given as { text?: string }).text;
    if (isOver || !pattern.test(text ?? '')) return original.apply(this, all);
    isOver = true;
    reached.resolve(undefined);
    return sleeping.promise.then(() => original.apply(this, all));
  };
  return {
    reached: reached.promise,
    wake: () => {
      sleeping.resolve(undefined);
    },
    restore: () => {
      sleeping.resolve(undefined);
      prototype.query = original;
    },
  };
}

/** Whoever has the lease of a capability has lost it: its session has ended when this resolves. */
export async function loseLease({ db }: Pick<Pair, 'db'>): Promise<void> {
  await db.raw(
    `SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE application_name = 'banyan-lease' AND datname = current_database()`,
  );
}
