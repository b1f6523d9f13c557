// One database that takes part: its schema `banyan`, the ownership row that guards every step in it,
// fences and sequences. Each change locks the ownership row and refuses a lower epoch, so that a
// coordinator that wakes up late can do no harm.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import { connect, sqlState, transaction, withClient } from '../core/postgres/connect.ts';
import { disconnect } from '../core/postgres/silence.ts';
import { quoteTable } from '../core/postgres/identifiers.ts';
import { findBlockers, type LockPurpose } from './blockers.ts';
import { unfenceStatements, type Fence, type FencedTable } from './domain/fence.ts';
import { fencedTables } from './domain/fenced-tables.ts';
import { removeNoteStatements } from './domain/bypass.ts';
import { removeShareStatements } from './domain/share.ts';
import { PARTICIPANT_SCHEMA } from './domain/names.ts';
import type { Owner } from './domain/phase.ts';
import type { Logins } from './connections.ts';
import { enter } from './entry.ts';
import { planFence, type FencePlan } from './fence-plan.ts';
import { forgetOwnership, lockOwnership, tellOwnership } from './ownership.ts';
import { scalar } from './scalar.ts';
import { partitionsOf } from './table-facts.ts';
import type { TableMap } from './definition.ts';

export { scalar } from './scalar.ts';

/** Below deadlock_timeout: a clean timeout here, rather than a deadlock whose victim is the application. */
const LOCK_TIMEOUT_MS = 300;
const LOCK_NOT_AVAILABLE = '55P03';
const UNDEFINED_TABLE = '42P01';
/**
 * A coordinator that stands still in the middle of a transaction has the locks of the tables, and of the
 * row that its successor needs: the server ends it before that one comes (lease.ts).
 */
const IDLE_IN_TRANSACTION_MS = 4_000;

export interface ParticipantOptions {
  readonly capability: string;
  readonly side: Owner;
  /** How messages name the two sides: `the monolith`, `service "catalog"`. */
  readonly labels: Readonly<Record<Owner, string>>;
  readonly logins: Logins;
  readonly tables: readonly TableMap[];
}

export class Participant {
  readonly side: Owner;
  readonly client: pg.Client;
  readonly database: string;
  readonly logins: Logins;
  /** Login of the applier, as the server knows it. */
  readonly applier: string;
  readonly #options: ParticipantOptions;
  #toldAt: string | undefined;

  private constructor(
    client: pg.Client,
    database: string,
    applier: string,
    options: ParticipantOptions,
  ) {
    this.side = options.side;
    this.client = client;
    this.database = database;
    this.logins = options.logins;
    this.applier = applier;
    this.#options = options;
  }

  static async open(options: ParticipantOptions): Promise<Participant> {
    const applier = await withClient(options.logins.applier, SESSION, (client) =>
      scalar(client, 'SELECT session_user'),
    );
    const client = await connect(options.logins.coordinator, SESSION);
    await client.query(`SET idle_in_transaction_session_timeout = ${IDLE_IN_TRANSACTION_MS}`);
    return new Participant(
      client,
      await scalar(client, 'SELECT current_database()'),
      applier,
      options,
    );
  }

  get capability(): string {
    return this.#options.capability;
  }

  /** Where in the WAL this session has last told who owns the capability. */
  get toldAt(): string | undefined {
    return this.#toldAt;
  }

  async close(): Promise<void> {
    await disconnect(this.client);
  }

  /** Makes the schema where it is missing and enters the capability. Idempotent. */
  async prepare(epoch: number): Promise<void> {
    try {
      await this.#enter(epoch);
    } catch (error) {
      // The last other capability has just left and taken the schema along.
      if (!['42P01', '3F000'].includes(sqlState(error) ?? '')) throw error;
      await this.#enter(epoch);
    }
  }

  #enter(epoch: number): Promise<void> {
    const { capability, side, logins } = this.#options;
    const owns = side === 'monolith';
    return enter(this.client, logins.coordinator, this.applier, { capability, epoch, owns });
  }

  /**
   * Sets this side's fence to what `owner` leaves it, and tells the stream in the same transaction.
   * Throws STALE_COORDINATOR, and MOVE_NOT_ALLOWED while both sides write; gives false when a lock
   * could not be had in time, nothing changed then.
   */
  async fence(owner: Owner, epoch: number): Promise<boolean> {
    return this.fenceAs(owner, await this.planned(owner), epoch);
  }

  /** What `fenceAs` will do, read and worked out ahead: nobody is held for it. Throws MOVE_NOT_ALLOWED. */
  async planned(owner: Owner): Promise<FencePlan> {
    await this.assertOneWriter();
    return this.#plan(owner);
  }

  /** `fence`, by a plan. Gives false also where the tables are no longer what they were for it. */
  fenceAs(owner: Owner, plan: FencePlan, epoch: number): Promise<boolean> {
    return this.stand(epoch, plan.statements, { owns: owner === this.side }, plan.facts);
  }

  /** Throws MOVE_NOT_ALLOWED while both sides write what moves. */
  async assertOneWriter(): Promise<void> {
    if (await this.isShared())
      throw new BanyanError(
        'MOVE_NOT_ALLOWED',
        `both sides of capability "${this.capability}" write: the write canary must end first`,
      );
  }

  async isShared(): Promise<boolean> {
    if (!(await this.present())) return false;
    // A schema that was made by an older version has no such column.
    const shared = `SELECT to_jsonb(o) ->> 'shared' FROM banyan.ownership o WHERE capability = $1`;
    return (await scalar(this.client, shared, [this.capability])) === 'true';
  }

  /** Statements that set this side's fence to what `owner` leaves it. */
  async fencing(owner: Owner): Promise<string[]> {
    return [...(await this.#plan(owner)).statements];
  }

  #plan(owner: Owner): Promise<FencePlan> {
    const { fence, tables } = this.closed(owner);
    return planFence(this.client, fence, tables);
  }

  /** What is closed here while `owner` owns, table by table, and the fence that closes it. */
  closed(owner: Owner): { readonly fence: Fence; readonly tables: readonly FencedTable[] } {
    const { capability, side, labels, tables } = this.#options;
    const other = side === 'monolith' ? labels.service : labels.monolith;
    const fence = { capability, owner: other, applier: this.applier };
    return { fence, tables: fencedTables(tables, side, owner) };
  }

  /**
   * Changes who may write here, and tells the stream in the same transaction. Synchronous commit: what
   * follows the message in the WAL meets the change already. Gives false when a lock could not be had,
   * or `facts` are not so any more.
   */
  async stand(
    epoch: number,
    statements: readonly string[],
    { owns, shared }: { readonly owns: boolean; readonly shared?: boolean },
    facts: FencePlan['facts'] = { text: `SELECT '' AS facts`, found: '' },
  ): Promise<boolean> {
    const { capability } = this.#options;
    const all = [
      `SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`,
      'SET LOCAL synchronous_commit = on',
      ...statements,
      // Last: the tables are locked by now.
      facts.text,
    ];
    const outdated = new Error('the tables have changed');
    try {
      this.#toldAt = await this.#guarded(epoch, async () => {
        // All at once: writes are held meanwhile, and each round trip would count.
        const results: unknown = await this.client.query(all.join(';\n'));
        const last = (results as pg.QueryResult<{ facts: string }>[]).at(-1);
        if (last?.rows[0]?.facts !== facts.found) throw outdated;
        return tellOwnership(this.client, { capability, epoch, owns, shared });
      });
      return true;
    } catch (error) {
      // A partition of the plan may be gone.
      const gone = facts.found !== '' && sqlState(error) === UNDEFINED_TABLE;
      if (sqlState(error) === LOCK_NOT_AVAILABLE || error === outdated || gone) return false;
      throw error;
    }
  }

  /** Runs `work` in a transaction that holds the ownership row at this epoch. */
  async guarded<T>(epoch: number, work: (client: pg.Client) => Promise<T>): Promise<T> {
    return this.#guarded(epoch, () => work(this.client));
  }

  async #guarded<T>(epoch: number, work: () => Promise<T>): Promise<T> {
    const { capability } = this.#options;
    return transaction(this.client, async () => {
      await lockOwnership(this.client, capability, epoch);
      await this.client.query('UPDATE banyan.ownership SET epoch = $2 WHERE capability = $1', [
        capability,
        epoch,
      ]);
      return work();
    });
  }

  /** The same for what takes something away: the row may be gone by then, and the schema too. */
  async guardedAway<T>(epoch: number, work: (client: pg.Client) => Promise<T>): Promise<T> {
    if (!(await this.#hasSchema())) return work(this.client);
    return transaction(this.client, async () => {
      await lockOwnership(this.client, this.capability, epoch, 'passes');
      return work(this.client);
    });
  }

  async #hasSchema(): Promise<boolean> {
    return (await scalar(this.client, `SELECT to_regclass('banyan.ownership')`)) !== '';
  }

  /** Who keeps, or may keep, a lock on the tables waiting: long transactions and prepared ones, one line each. */
  blockers(olderThanMs: number, purpose: LockPurpose = 'fence'): Promise<string[]> {
    return findBlockers(this.client, this.#tableNames(), olderThanMs, purpose);
  }

  #tableNames(): string[] {
    const { tables, side } = this.#options;
    return fencedTables(tables, side, side).map(({ table }) => quoteTable(table));
  }

  /** Whether anything of the capability may still be in this database. */
  async present(): Promise<boolean> {
    if (!(await this.#hasSchema())) return false;
    const { capability } = this.#options;
    const count = 'SELECT count(*) FROM banyan.ownership WHERE capability = $1';
    return (await scalar(this.client, count, [capability])) !== '0';
  }

  /**
   * Removes the capability from this database; the schema too when it was the last. Idempotent. Throws
   * STALE_COORDINATOR.
   */
  async remove(epoch: number): Promise<void> {
    const { capability, tables, side } = this.#options;
    if (!(await this.#hasSchema())) return;
    for (const { table } of fencedTables(tables, side, side))
      for (const name of [table, ...(await partitionsOf(this.client, table))])
        for (const statement of [
          ...unfenceStatements(name),
          ...removeShareStatements(capability, name),
          ...removeNoteStatements(name),
        ])
          await this.#patiently(epoch, statement);
    await transaction(this.client, async () => {
      // Another capability may just be entering: it waits for this, and makes the schema anew.
      await this.client.query('LOCK TABLE banyan.ownership IN ACCESS EXCLUSIVE MODE');
      await lockOwnership(this.client, capability, epoch, 'passes');
      await forgetOwnership(this.client, capability);
      const left = await scalar(this.client, 'SELECT count(*) FROM banyan.ownership');
      if (left === '0') await this.client.query(`DROP SCHEMA ${PARTICIPANT_SCHEMA} CASCADE`);
    });
  }

  /** DDL that may wait for readers: short attempts, so that nobody queues up behind it. */
  async #patiently(epoch: number, statement: string): Promise<void> {
    for (let attempt = 1; ; attempt++)
      try {
        await this.guardedAway(epoch, (client) =>
          client.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}; ${statement}`),
        );
        return;
      } catch (error) {
        if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error;
        if (attempt < 100) continue;
        const open = await this.blockers(LOCK_TIMEOUT_MS, 'remove');
        throw new BanyanError('TIMED_OUT', 'the lock to remove a fence could not be had', {
          hint: `${open.length > 0 ? `End these: ${open.join('; ')}` : 'End long-running transactions'}. Then give the command again; it removes what is left.`,
          cause: error,
        });
      }
  }
}

const SESSION = { applicationName: 'banyan-coordinator' };
