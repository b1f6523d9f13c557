// Locks on a team's tables. A request that waits keeps everybody waiting who comes after it: so it waits for a
// moment only, for all tables together, and whoever stood behind it goes on before it is asked for again. Who
// has been at the tables for long is waited for without asking.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import { sleep } from '../core/lifecycle.ts';
import { sqlState, transaction } from '../core/postgres/connect.ts';
import { quoteTable, type TableName } from '../core/postgres/identifiers.ts';
import type { LockPurpose } from './blockers.ts';
import { scalar } from './scalar.ts';

/** Below deadlock_timeout: a clean timeout here, rather than a deadlock whose victim is the application. */
export const LOCK_TIMEOUT_MS = 300;
/** Between two attempts, for those that queued up behind the last. */
const LOCK_PAUSE_MS = 250;
/** Whoever is at it for longer will not be gone within one attempt. */
const OLD_MS = 1_000;
const LOCK_NOT_AVAILABLE = '55P03';
const CANCELLED = '57014';
/** A server that takes longer to look for deadlocks is not waited for. */
const MOST_DEADLOCK_MS = 5_000;

/** Whether a lock was not to be had in time: one of `lockForTriggers`, or any other under a lock_timeout. */
export function isLockTimeout(error: unknown): boolean {
  return [LOCK_NOT_AVAILABLE, CANCELLED].includes(sqlState(error) ?? '');
}

/**
 * Statements, for one transaction and one message, that take the lock under which triggers are made, of all
 * tables at once: those that make the triggers then wait for nobody.
 */
export function lockForTriggers(tables: readonly TableName[]): string[] {
  return [
    `SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`,
    // The other counts anew for each table, and those that are locked already keep their writers waiting.
    `SET LOCAL statement_timeout = ${LOCK_TIMEOUT_MS}`,
    ...(tables.length > 0
      ? [`LOCK TABLE ${tables.map(quoteTable).join(', ')} IN SHARE ROW EXCLUSIVE MODE`]
      : []),
    'SET LOCAL statement_timeout TO DEFAULT',
  ];
}

interface Patience {
  readonly timeoutMs: number;
  /** What was waited for, for the error. */
  readonly what: string;
  readonly hint?: string;
  readonly purpose?: LockPurpose;
  /** Throws where nobody waits for it any more. */
  readonly assertWanted?: () => void;
}

/** The side whose tables are to be locked. */
export interface Lockable {
  blockers(olderThanMs: number, purpose?: LockPurpose): Promise<string[]>;
}

/** Tries until `attempt` has had its locks. Throws TIMED_OUT, and names who is in the way. */
export async function patiently(
  side: Lockable,
  attempt: () => Promise<boolean>,
  { timeoutMs, what, hint, purpose = 'fence', assertWanted }: Patience,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    assertWanted?.();
    const inTheWay = await side.blockers(OLD_MS, purpose);
    if (inTheWay.length === 0 && (await attempt())) return;
    if (performance.now() > deadline)
      throw new BanyanError('TIMED_OUT', `waited ${timeoutMs} ms in vain for ${what}`, {
        hint: [
          inTheWay.length > 0
            ? `In the way: ${inTheWay.join('; ')}.`
            : 'Try again when fewer long transactions run.',
          ...(hint === undefined ? [] : [hint]),
        ].join(' '),
      });
    await sleep(LOCK_PAUSE_MS);
  }
}

/**
 * Waits for a lock that keeps neither readers nor writers waiting, for as long as it takes the server to end a
 * vacuum of its own that is in the way of somebody; it never ends one that is against wraparound.
 */
export async function outwaitVacuums(
  client: pg.Client,
  tables: readonly TableName[],
): Promise<void> {
  const setting = `SELECT setting FROM pg_settings WHERE name = 'deadlock_timeout'`;
  const deadlockMs = Math.min(Number(await scalar(client, setting)), MOST_DEADLOCK_MS);
  try {
    await transaction(client, async () => {
      await client.query(`SET LOCAL lock_timeout = ${deadlockMs + 500}`);
      await client.query(
        `LOCK TABLE ${tables.map(quoteTable).join(', ')} IN SHARE UPDATE EXCLUSIVE MODE`,
      );
    });
  } catch (error) {
    if (!isLockTimeout(error)) throw error;
  }
}
