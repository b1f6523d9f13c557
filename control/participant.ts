// One database that takes part: its schema `banyan`, the ownership row that guards every step in it,
// fences and sequences. Each change locks the ownership row and refuses a lower epoch, so that a
// coordinator that wakes up late can do no harm.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import { connect, sqlState, withClient } from '../core/postgres/connect.ts';
import { disconnect } from '../core/postgres/silence.ts';
import {
  formatTable,
  parseTableName,
  quoteTable,
  type TableName,
} from '../core/postgres/identifiers.ts';
import { findBlockers, type LockPurpose } from './blockers.ts';
import type { Fence, FencedTable } from './domain/fence.ts';
import { fencedTables } from './domain/fenced-tables.ts';
import type { Owner } from './domain/phase.ts';
import type { Logins } from './connections.ts';
import { enter } from './entry.ts';
import { planFence, type FencePlan } from './fence-plan.ts';
import { Guard } from './guard.ts';
import { outlastLateSteps } from './late-steps.ts';
import { notesOwnership, tellStatements } from './ownership.ts';
import { leave } from './removal.ts';
import { scalar } from './scalar.ts';
import { markedTables } from './table-facts.ts';
import type { TableMap } from './definition.ts';

export { scalar } from './scalar.ts';

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
  readonly tables: readonly TableMap[];
  /** Login of the applier, as the server knows it. */
  readonly applier: string;
  readonly #options: ParticipantOptions;
  readonly #guard: Guard;
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
    this.tables = options.tables;
    this.applier = applier;
    this.#options = options;
    this.#guard = new Guard(client, options.capability);
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

  /**
   * Makes the schema where it is missing and enters the capability. Idempotent. `anew`, from `monolith`: with its
   * tables as they are mapped now, also where something of it has stayed.
   */
  async prepare(epoch: number, { anew = false } = {}): Promise<void> {
    try {
      await this.#enter(epoch, anew);
    } catch (error) {
      // The last other capability has just left and taken the schema along.
      if (!['42P01', '3F000'].includes(sqlState(error) ?? '')) throw error;
      await this.#enter(epoch, anew);
    }
    await outlastLateSteps(this.client);
  }

  #enter(epoch: number, anew: boolean): Promise<void> {
    const { capability, side, logins } = this.#options;
    const owns = side === 'monolith';
    const tables = this.tableNames.map((name) => formatTable(parseTableName(name)));
    return enter(this.client, logins.coordinator, this.applier, {
      ...{ capability, epoch, owns, tables, anew },
    });
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

  /**
   * `fence`, by a plan. Gives false also where the tables are no longer what they were for it. `before` runs
   * with all of it done and nothing of it to be seen: it is undone when that throws.
   */
  fenceAs(
    owner: Owner,
    plan: FencePlan,
    epoch: number,
    before?: () => Promise<void>,
  ): Promise<boolean> {
    const { statements, facts } = plan;
    return this.stand(epoch, statements, { owns: owner === this.side }, { facts, before });
  }

  /** Whether this side owns, by its own account, which nobody of a lower epoch changes from here on. */
  owns(epoch: number): Promise<boolean> {
    const owns = 'SELECT owns FROM banyan.ownership WHERE capability = $1';
    return this.guarded(
      epoch,
      async () => (await scalar(this.client, owns, [this.capability])) === 'true',
    );
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
    { facts = ANY_FACTS, before }: Standing = {},
  ): Promise<boolean> {
    const { capability } = this;
    const outdated = new Error('the tables have changed');
    let isDone = false as boolean;
    const change = { capability, epoch, owns, shared };
    const told = tellStatements(change, await notesOwnership(this.client));
    // The facts behind all that takes a lock.
    const all = ['SET LOCAL synchronous_commit = on', ...statements, facts.text, ...told];
    try {
      const toldAt = await this.underLocks(epoch, all, async (results) => {
        const [found] = (results.at(-1 - told.length)?.rows ?? []) as { facts: string }[];
        const [at] = (results.at(-1)?.rows ?? []) as { lsn: string }[];
        if (found?.facts !== facts.found) throw outdated;
        isDone = true;
        await before?.();
        return at?.lsn ?? '';
      });
      if (toldAt === undefined) return false;
      this.#toldAt = toldAt;
      return true;
    } catch (error) {
      // A partition of the plan may be gone.
      const gone = !isDone && facts.found !== '' && sqlState(error) === UNDEFINED_TABLE;
      if (error === outdated || gone) return false;
      throw error;
    }
  }

  /** Statements, and then `work`, under the locks that triggers need (guard.ts). Undefined when they could not be had. */
  underLocks<T>(
    epoch: number,
    statements: readonly string[],
    work: (results: readonly pg.QueryResult[]) => Promise<T>,
    tables: readonly TableName[] = this.#tables(),
  ): Promise<T | undefined> {
    return this.#guard.underLocks(epoch, tables, statements, work);
  }

  /** Runs `work` in a transaction that holds the ownership row at this epoch. Throws TIMED_OUT for a lock that somebody else has. */
  async guarded<T>(epoch: number, work: (client: pg.Client) => Promise<T>): Promise<T> {
    try {
      return await this.#guard.held(epoch, () => work(this.client));
    } catch (error) {
      if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error;
      const open = await this.blockers(0);
      throw new BanyanError('TIMED_OUT', `a lock in database ${this.database} is somebody else’s`, {
        hint: `${open.length > 0 ? `In the way: ${open.join('; ')}` : 'Wait until he has done'}. Then give the command again.`,
        cause: error,
      });
    }
  }

  /** The same for what takes something away: the row may be gone by then, and the schema too. */
  guardedAway<T>(epoch: number, work: (client: pg.Client) => Promise<T>): Promise<T> {
    return this.#guard.heldAway(epoch, () => work(this.client));
  }

  /** Who keeps, or may keep, a lock on the tables waiting: long transactions and prepared ones, one line each. */
  blockers(olderThanMs: number, purpose: LockPurpose = 'fence'): Promise<string[]> {
    return findBlockers(this.client, this.#tables().map(quoteTable), olderThanMs, purpose);
  }

  /** In the order in which they are locked. */
  #tables(): TableName[] {
    const { tables, side } = this.#options;
    return fencedTables(tables, side, side).map(({ table }) => table);
  }

  /** Its mapped tables, as the definition names them. */
  get tableNames(): readonly string[] {
    return this.tables.flatMap((map) => map[this.side]);
  }

  /** Whether anything of the capability may still be in this database. */
  async present(): Promise<boolean> {
    if (!(await this.#guard.hasSchema())) return false;
    const count = 'SELECT count(*) FROM banyan.ownership WHERE capability = $1';
    return (await scalar(this.client, count, [this.capability])) !== '0';
  }

  /**
   * Removes the capability from this database, also from tables that have left the definition since; the schema
   * too when it was the last. Idempotent. Throws STALE_COORDINATOR, TIMED_OUT.
   */
  async remove(epoch: number): Promise<void> {
    if (!(await this.#guard.hasSchema())) return;
    const mapped = this.#tables();
    const names = new Set(mapped.map(quoteTable));
    const left = await markedTables(this.client, this.capability);
    await leave(this, [...mapped, ...left.filter((one) => !names.has(quoteTable(one)))], epoch);
  }
}

const SESSION = { applicationName: 'banyan-coordinator' };
const ANY_FACTS: FencePlan['facts'] = { text: `SELECT '' AS facts`, found: '' };

interface Standing {
  readonly facts?: FencePlan['facts'];
  /** What becomes visible before this does. */
  readonly before?: (() => Promise<void>) | undefined;
}
