// One database that takes part: its schema `banyan`, the ownership row that guards every step in it,
// fences and sequences. Each change locks the ownership row and refuses a lower epoch, so that a
// coordinator that wakes up late can do no harm.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import { connect, sqlState, transaction, withClient } from '../core/postgres/connect.ts';
import { disconnect } from '../core/postgres/silence.ts';
import { quoteIdentifier, quoteTable } from '../core/postgres/identifiers.ts';
import { migrate } from '../core/postgres/migrate.ts';
import { encodeMessage } from './domain/flow.ts';
import { columnsWithoutEquality, partitionsOf } from './table-facts.ts';
import { fenceStatements, unfenceStatements, type Fence } from './domain/fence.ts';
import { fencedTables } from './domain/fenced-tables.ts';
import { removeShareStatements } from './domain/share.ts';
import { MESSAGE_PREFIX, PARTICIPANT_SCHEMA } from './domain/names.ts';
import type { Owner } from './domain/phase.ts';
import type { Logins } from './connections.ts';
import type { TableMap } from './definition.ts';

/** Below deadlock_timeout: a clean timeout here, rather than a deadlock whose victim is the application. */
const LOCK_TIMEOUT_MS = 300;
const LOCK_NOT_AVAILABLE = '55P03';

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

  async #enter(epoch: number): Promise<void> {
    const { capability, side, logins } = this.#options;
    await migrate({
      url: logins.coordinator,
      folder: 'participant',
      direction: 'up',
      schema: PARTICIPANT_SCHEMA,
    });
    const applier = quoteIdentifier(this.applier);
    await this.client.query(`GRANT USAGE ON SCHEMA ${PARTICIPANT_SCHEMA} TO ${applier}`);
    await this.client.query(
      `GRANT SELECT, INSERT, UPDATE, DELETE ON banyan.checkpoint, banyan.log_offset, banyan.backfill, banyan.reread, banyan.orphan, banyan.parked, banyan.conflict, banyan.awaited, banyan.tombstone, banyan.flight TO ${applier}`,
    );
    await this.client.query(`GRANT SELECT ON banyan.ownership_change TO ${applier}`);
    await this.client.query(
      `INSERT INTO banyan.ownership (capability, epoch, owns) VALUES ($1, $2, $3)
       ON CONFLICT (capability) DO UPDATE SET epoch = greatest(ownership.epoch, excluded.epoch)`,
      [capability, epoch, side === 'monolith'],
    );
  }

  /**
   * Sets this side's fence to what `owner` leaves it, and tells the stream in the same transaction.
   * Throws STALE_COORDINATOR, and MOVE_NOT_ALLOWED while both sides write; gives false when a lock
   * could not be had in time, nothing changed then.
   */
  async fence(owner: Owner, epoch: number): Promise<boolean> {
    await this.assertOneWriter();
    return this.stand(epoch, await this.fencing(owner), { owns: owner === this.side });
  }

  /** Throws MOVE_NOT_ALLOWED while both sides write what moves. */
  async assertOneWriter(): Promise<void> {
    if (!(await this.present())) return;
    // A schema that was made by an older version has no such column.
    const shared = `SELECT to_jsonb(o) ->> 'shared' FROM banyan.ownership o WHERE capability = $1`;
    if ((await scalar(this.client, shared, [this.capability])) !== 'true') return;
    throw new BanyanError(
      'MOVE_NOT_ALLOWED',
      `both sides of capability "${this.capability}" write: the write canary must end first`,
    );
  }

  /** Statements that set this side's fence to what `owner` leaves it. */
  async fencing(owner: Owner): Promise<string[]> {
    const { capability, side, labels, tables } = this.#options;
    const other = side === 'monolith' ? labels.service : labels.monolith;
    const fence: Fence = { capability, owner: other, applier: this.applier };
    const statements: string[] = [];
    for (const table of fencedTables(tables, side, owner))
      statements.push(
        ...fenceStatements(
          fence,
          table,
          await columnsWithoutEquality(this.client, table.table),
          await partitionsOf(this.client, table.table),
        ),
      );
    return statements;
  }

  /**
   * Changes who may write here, and tells the stream in the same transaction. Synchronous commit: what
   * follows the message in the WAL meets the change already. Gives false when a lock could not be had.
   */
  async stand(
    epoch: number,
    statements: readonly string[],
    { owns, shared }: { readonly owns: boolean; readonly shared?: boolean },
  ): Promise<boolean> {
    const { capability } = this.#options;
    const all = [
      `SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`,
      'SET LOCAL synchronous_commit = on',
      ...statements,
    ];
    try {
      await this.#guarded(epoch, async () => {
        // All at once: writes are held meanwhile, and each round trip would count.
        await this.client.query(all.join(';\n'));
        const { rows } = await this.client.query<{ noted: boolean }>(
          `UPDATE banyan.ownership SET owns = $2 WHERE capability = $1
           RETURNING to_regclass('banyan.ownership_change') IS NOT NULL AS noted`,
          [capability, owns],
        );
        const message = encodeMessage({
          ...{ kind: 'ownership', capability, epoch, owns },
          ...(shared !== undefined && { shared }),
        });
        // Noted for flows that do not read the WAL. A schema made by an older version has no place for it.
        if (rows[0]?.noted)
          await this.client.query(
            `INSERT INTO banyan.ownership_change SELECT $3, $4, pg_logical_emit_message(true, $1, $2), $2`,
            [MESSAGE_PREFIX, message, capability, epoch],
          );
        else
          await this.client.query('SELECT pg_logical_emit_message(true, $1, $2)', [
            MESSAGE_PREFIX,
            message,
          ]);
      });
      return true;
    } catch (error) {
      if (sqlState(error) === LOCK_NOT_AVAILABLE) return false;
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
      const { rows } = await this.client.query<{ epoch: string }>(
        'SELECT epoch FROM banyan.ownership WHERE capability = $1 FOR UPDATE',
        [capability],
      );
      const current = Number(rows[0]?.epoch ?? 0);
      if (current > epoch)
        throw new BanyanError(
          'STALE_COORDINATOR',
          `another coordinator (epoch ${current}) has taken over from this one (epoch ${epoch})`,
          {
            hint: 'Look at `banyan status`.',
          },
        );
      await this.client.query('UPDATE banyan.ownership SET epoch = $2 WHERE capability = $1', [
        capability,
        epoch,
      ]);
      return work();
    });
  }

  /** Who may keep a lock on the fenced tables waiting: long transactions and prepared ones, by name. */
  async blockers(olderThanMs: number): Promise<string[]> {
    const { rows } = await this.client.query<{ line: string }>(
      `SELECT format('pid %s (%s, %s): %s', a.pid, a.usename, date_trunc('second', clock_timestamp() - a.xact_start), left(a.query, 80)) AS line
         FROM pg_stat_activity a
        WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
          AND a.xact_start < clock_timestamp() - make_interval(secs => $1)
          AND EXISTS (SELECT 1 FROM pg_locks l WHERE l.pid = a.pid AND l.relation = ANY ($2::text[]::regclass[])
                       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
       UNION ALL
       SELECT format('prepared transaction %s of %s', gid, owner) FROM pg_prepared_xacts WHERE database = current_database()`,
      [olderThanMs / 1000, this.#tableNames()],
    );
    return rows.map((row) => row.line);
  }

  #tableNames(): string[] {
    const { tables, side } = this.#options;
    return fencedTables(tables, side, side).map(({ table }) => quoteTable(table));
  }

  /** Whether anything of the capability may still be in this database. */
  async present(): Promise<boolean> {
    const there = await scalar(this.client, `SELECT to_regclass('banyan.ownership') IS NOT NULL`);
    if (there !== 'true') return false;
    const { capability } = this.#options;
    const count = 'SELECT count(*) FROM banyan.ownership WHERE capability = $1';
    return (await scalar(this.client, count, [capability])) !== '0';
  }

  /** Removes the capability from this database; the schema too when it was the last. Idempotent. */
  async remove(): Promise<void> {
    const { capability, tables, side } = this.#options;
    const present = await scalar(this.client, `SELECT to_regclass('banyan.ownership') IS NOT NULL`);
    if (present !== 'true') return;
    for (const { table } of fencedTables(tables, side, side))
      for (const name of [table, ...(await partitionsOf(this.client, table))])
        for (const statement of [
          ...unfenceStatements(name),
          ...removeShareStatements(capability, name),
        ])
          await this.#patiently(statement);
    await transaction(this.client, async () => {
      // Another capability may just be entering: it waits for this, and makes the schema anew.
      await this.client.query('LOCK TABLE banyan.ownership IN ACCESS EXCLUSIVE MODE');
      await this.client.query('DELETE FROM banyan.ownership WHERE capability = $1', [capability]);
      if ((await scalar(this.client, `SELECT to_regclass('banyan.ownership_change')`)) !== '')
        await this.client.query('DELETE FROM banyan.ownership_change WHERE capability = $1', [
          capability,
        ]);
      const left = await scalar(this.client, 'SELECT count(*) FROM banyan.ownership');
      if (left === '0') await this.client.query(`DROP SCHEMA ${PARTICIPANT_SCHEMA} CASCADE`);
    });
  }

  /** DDL that may wait for readers: short attempts, so that nobody queues up behind it. */
  async #patiently(statement: string): Promise<void> {
    for (let attempt = 1; ; attempt++)
      try {
        await transaction(this.client, async () => {
          await this.client.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
          await this.client.query(statement);
        });
        return;
      } catch (error) {
        if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error;
        if (attempt < 100) continue;
        const open = await this.blockers(LOCK_TIMEOUT_MS);
        throw new BanyanError('TIMED_OUT', 'the lock to remove a fence could not be had', {
          hint: `${open.length > 0 ? `End these: ${open.join('; ')}` : 'End long-running transactions'}. Then give the command again; it removes what is left.`,
          cause: error,
        });
      }
  }
}

const SESSION = { applicationName: 'banyan-coordinator' };

/** The single value of a query, as text. */
export async function scalar(
  client: pg.ClientBase,
  text: string,
  values: readonly unknown[] = [],
): Promise<string> {
  const { rows } = await client.query<unknown[]>({ text, values: [...values], rowMode: 'array' });
  const value = rows[0]?.[0] as string | number | boolean | null | undefined;
  return String(value ?? '');
}
