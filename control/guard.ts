// The row that guards every step in a database: each change locks it first and refuses a lower epoch, so that a
// coordinator that wakes up late can do no harm. No lock is waited for for ever.
import type pg from 'pg';
import { transaction } from '../core/postgres/connect.ts';
import type { TableName } from '../core/postgres/identifiers.ts';
import { takeAway } from './late-steps.ts';
import { lockOwnership } from './ownership.ts';
import { scalar } from './scalar.ts';
import { isLockTimeout, lockForTriggers, LOCK_TIMEOUT_MS } from './table-locks.ts';

/** One that stands still with the row is ended sooner (participant.ts). */
const GUARD_TIMEOUT_MS = 6_000;

export class Guard {
  readonly #client: pg.Client;
  readonly #capability: string;

  constructor(client: pg.Client, capability: string) {
    this.#client = client;
    this.#capability = capability;
  }

  /** Runs `work` in a transaction that holds the row at this epoch. Throws STALE_COORDINATOR. */
  async held<T>(
    epoch: number,
    work: () => Promise<T>,
    lockTimeoutMs = GUARD_TIMEOUT_MS,
  ): Promise<T> {
    return transaction(this.#client, async () => {
      await this.#client.query(`SET LOCAL lock_timeout = ${lockTimeoutMs}`);
      await lockOwnership(this.#client, this.#capability, epoch);
      await this.#client.query('UPDATE banyan.ownership SET epoch = $2 WHERE capability = $1', [
        this.#capability,
        epoch,
      ]);
      return work();
    });
  }

  /**
   * Runs statements under the lock that triggers need, of these tables, and then `work`, which is given what
   * they gave. Undefined when the locks could not be had: nothing has changed then.
   */
  async underLocks<T>(
    epoch: number,
    tables: readonly TableName[],
    statements: readonly string[],
    work: (results: readonly pg.QueryResult[]) => Promise<T>,
  ): Promise<T | undefined> {
    // All at once: whoever is held or locked out meanwhile waits for each round trip.
    const all = [...lockForTriggers(tables), ...statements].join(';\n');
    let isLocked = false as boolean;
    try {
      return await this.held(
        epoch,
        async () => {
          const results = (await this.#client.query(all)) as unknown as pg.QueryResult[];
          isLocked = true;
          return work(results);
        },
        LOCK_TIMEOUT_MS,
      );
    } catch (error) {
      if (!isLocked && isLockTimeout(error)) return undefined;
      throw error;
    }
  }

  /** `held` for what takes something away: the row may be gone by then, and the schema too. */
  async heldAway<T>(epoch: number, work: () => Promise<T>): Promise<T> {
    const lock = async (): Promise<void> => {
      if (await this.hasSchema())
        await lockOwnership(this.#client, this.#capability, epoch, 'passes');
    };
    return takeAway(this.#client, lock, work);
  }

  async hasSchema(): Promise<boolean> {
    return (await scalar(this.#client, `SELECT to_regclass('banyan.ownership')`)) !== '';
  }
}
