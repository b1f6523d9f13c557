// Who writes what moves beside the facade, seen in the owner's database during a rehearsal's hold. While
// every live facade has acknowledged that hold none forwards a write, so whoever changes a moving column
// between `begin` and `end` came by another way: both moments, and that of each note, are this one
// database's clock. What is noted before or after them is nobody's business and is forgotten.
import type pg from 'pg';
import { encodeMessage } from './domain/flow.ts';
import { noteStatements, unnoteStatements, type NotedTable } from './domain/bypass.ts';
import { fencedTables } from './domain/fenced-tables.ts';
import { MESSAGE_PREFIX } from './domain/names.ts';
import type { Bypass } from './domain/rehearsal.ts';
import type { TableMap } from './definition.ts';
import { scalar, type Participant } from './participant.ts';
import { columnsWithoutEquality, partitionsOf } from './table-facts.ts';

/** Of one writer, the processes that are named. */
const PIDS_SHOWN = 10;

interface Row {
  login: string;
  application: string;
  address: string | null;
  table_name: string;
  operation: string;
  transactions: string;
  pids: number[];
  first_at: Date;
  last_at: Date;
}

export class Bypasses {
  readonly #owner: Participant;
  readonly #tables: readonly TableMap[];
  #noted: readonly NotedTable[] | undefined;

  constructor(owner: Participant, tables: readonly TableMap[]) {
    this.#owner = owner;
    this.#tables = tables;
  }

  /** Makes ready what takes time: nobody is held yet. */
  async prepare(epoch: number): Promise<void> {
    await this.#owner.prepare(epoch);
    await this.#tablesOf();
  }

  /**
   * Begins to note, and writes a barrier into the stream in the same transaction: takes the locks that
   * the fence would take. Gives when, and the barrier's position; nothing when a lock could not be had.
   * Throws STALE_COORDINATOR.
   */
  async begin(epoch: number): Promise<{ readonly at: string; readonly lsn: string } | undefined> {
    const { capability, applier } = this.#owner;
    const tables = await this.#tablesOf();
    const on = tables.flatMap((table) => noteStatements(capability, applier, table));
    return this.#owner.underLocks(epoch, on, async () => {
      const { rows } = await this.#owner.client.query<{ at: string; lsn: string }>(
        'SELECT clock_timestamp()::text AS at, pg_logical_emit_message(true, $1, $2)::text AS lsn',
        [MESSAGE_PREFIX, encodeMessage({ kind: 'barrier', capability })],
      );
      return rows[0];
    });
  }

  /** The moment up to which a note counts. */
  now(): Promise<string> {
    return scalar(this.#owner.client, 'SELECT clock_timestamp()::text');
  }

  /** Notes no more; false when a lock could not be had. What had been noted is committed or undone then. */
  async stop(epoch: number): Promise<boolean> {
    const { capability } = this.#owner;
    const tables = await this.#tablesOf();
    const off = tables.flatMap((table) => unnoteStatements(capability, table));
    return (await this.#owner.underLocks(epoch, off, () => Promise.resolve(true))) ?? false;
  }

  /** Who was noted between two moments; all notes are forgotten then. Throws STALE_COORDINATOR. */
  async collect(epoch: number, from: string, to: string): Promise<Bypass[]> {
    const rows = await this.#owner.guarded(epoch, async (client) => {
      const found = await client.query<Row>(
        `SELECT login, application, host(address) AS address, table_name, operation,
                count(*) AS transactions, (array_agg(DISTINCT pid))[1:${PIDS_SHOWN}] AS pids,
                min(at) AS first_at, max(at) AS last_at
           FROM banyan.bypass WHERE capability = $1 AND at BETWEEN $2::timestamptz AND $3::timestamptz
          GROUP BY login, application, address, table_name, operation
          ORDER BY login, application, address, table_name, operation`,
        [this.#owner.capability, from, to],
      );
      await this.#delete(client);
      return found.rows;
    });
    return rows.map((row) => ({
      login: row.login,
      application: row.application,
      address: row.address,
      table: row.table_name,
      operation: row.operation,
      transactions: Number(row.transactions),
      pids: row.pids,
      firstAt: row.first_at.toISOString(),
      lastAt: row.last_at.toISOString(),
    }));
  }

  /** Throws STALE_COORDINATOR. */
  forget(epoch: number): Promise<void> {
    return this.#owner.guarded(epoch, (client) => this.#delete(client));
  }

  async #delete(client: pg.Client): Promise<void> {
    await client.query('DELETE FROM banyan.bypass WHERE capability = $1', [this.#owner.capability]);
  }

  async #tablesOf(): Promise<readonly NotedTable[]> {
    if (this.#noted) return this.#noted;
    const { client, side } = this.#owner;
    const closed = side === 'monolith' ? 'service' : 'monolith';
    const noted: NotedTable[] = [];
    for (const { table, columns, where } of fencedTables(this.#tables, side, closed))
      noted.push({
        ...{ table, columns, where },
        unequal: await columnsWithoutEquality(client, table),
        partitions: await partitionsOf(client, table),
      });
    return (this.#noted = noted);
  }
}
