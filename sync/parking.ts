// The dead letters of a flow, as its applier sees them: which rows have a change parked, so that later
// changes of the same row wait behind it. What a batch parks is staged, written in the batch's own
// transaction, and counts when that commits.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import type { RowChange } from './domain/change.ts';
import type { Mode } from './domain/mapping.ts';
import { restoreChange, storeChange, type StoredChange } from './domain/parked.ts';

/** The position of a row that a copy brought. */
export const COPIED = 'copy';

/** A key as the target writes it. */
export type RowKey = readonly string[];

export interface Letter {
  readonly table: string;
  /** One, or two where the change moved its row. */
  readonly keys: readonly RowKey[];
  readonly change: RowChange;
  readonly mode: Mode;
  /** Of a change of the stream its commit's LSN and its number, with a slash between them; or COPIED. */
  readonly position: string;
  readonly commitMs: number;
  /** Why it cannot be applied; null when it only waits behind another. */
  readonly error: Refusal | null;
}

export interface Refusal {
  readonly message: string;
  /** Of PostgreSQL, where that refused it. */
  readonly sqlState: string | null;
}

export interface ParkedLetter extends Letter {
  readonly id: string;
}

/** Beyond this something is wrong with more than some rows: the flow stops instead. */
const LIMIT = 10_000;

export class Parking {
  readonly #flow: string;
  readonly #limit: number;
  readonly #targets: (table: string) => readonly string[];
  #rows = new Set<string>();
  #size = 0;
  #orphaned = false;
  #stale = false;
  #staged: Letter[] = [];
  #stagedRows = new Set<string>();

  /** `targets` gives the target tables that a source table feeds: what feeds the same row waits together. */
  constructor(flow: string, targets: (table: string) => readonly string[], limit = LIMIT) {
    this.#flow = flow;
    this.#targets = targets;
    this.#limit = limit;
  }

  /** Reads what is parked; called at the start, and after somebody else may have changed it. */
  async load(client: pg.Client): Promise<void> {
    const { rows } = await client.query<{
      source_table: string;
      keys: string[][];
      error: string | null;
    }>('SELECT source_table, keys, error FROM banyan.parked WHERE flow = $1 ORDER BY id', [
      this.#flow,
    ]);
    this.#size = rows.length;
    this.#rows = new Set();
    this.#orphaned = false;
    this.#stale = false;
    for (const { source_table: table, keys, error } of rows) {
      const names = this.namesOf(table, keys);
      if (error === null && !names.some((name) => this.#rows.has(name))) this.#orphaned = true;
      for (const name of names) this.#rows.add(name);
    }
  }

  /** Whether a change waits behind nothing any more: what was in front of it was given up. */
  get orphaned(): boolean {
    return this.#orphaned;
  }

  /** Reads again what a batch that was rolled back had changed. */
  async refresh(client: pg.Client): Promise<void> {
    if (this.#stale) await this.load(client);
  }

  /** The target rows that these keys of a source table mean. */
  namesOf(table: string, keys: readonly RowKey[]): string[] {
    return this.#targets(table).flatMap((target) =>
      keys.map((key) => [target, ...key].join('\u0000')),
    );
  }

  /** Changes parked, those included that wait. */
  get size(): number {
    return this.#size;
  }

  /** Whether nothing is parked, in the batch under way neither: the common case, asked for each change. */
  get empty(): boolean {
    return this.#size === 0 && this.#staged.length === 0;
  }

  /** Whether a change of these rows has to wait. */
  holds(table: string, keys: readonly RowKey[]): boolean {
    return this.namesOf(table, keys).some(
      (name) => this.#rows.has(name) || this.#stagedRows.has(name),
    );
  }

  /** Parks a change with the batch under way. */
  stage(letter: Letter): void {
    this.#staged.push(letter);
    for (const name of this.namesOf(letter.table, letter.keys)) this.#stagedRows.add(name);
  }

  /** All rows of these tables are gone: so is what was to be done to them. */
  async truncated(client: pg.Client, tables: readonly string[]): Promise<void> {
    if (this.empty) return;
    const left = this.#staged.filter((letter) => !tables.includes(letter.table));
    this.#staged = [];
    this.#stagedRows.clear();
    for (const letter of left) this.stage(letter);
    await client.query('DELETE FROM banyan.parked WHERE flow = $1 AND source_table = ANY ($2)', [
      this.#flow,
      tables,
    ]);
    await this.load(client);
    this.#stale = true;
  }

  /** Writes what is staged into the batch's transaction. Throws FLOW_STOPPED beyond the limit. */
  async write(client: pg.Client): Promise<void> {
    if (this.#staged.length === 0) return;
    if (this.#size + this.#staged.length > this.#limit)
      throw new BanyanError(
        'FLOW_STOPPED',
        `more than ${this.#limit} changes cannot be applied; the last: ${this.#staged.at(-1)?.error?.message ?? 'waits behind another'}`,
        {
          hint: '`banyan sync show` lists them. Mend what they have in common, then start sync again.',
        },
      );
    await client.query(
      `INSERT INTO banyan.parked (flow, source_table, keys, change, mode, position, committed_at, error, sql_state)
       SELECT $1, l."table", l.keys, l.change, l.mode, l.position, to_timestamp(l."commitMs" / 1000.0), l.error ->> 'message', l.error ->> 'sqlState'
         FROM jsonb_to_recordset($2::jsonb) AS l ("table" text, keys jsonb, change jsonb, mode text, position text, "commitMs" float8, error jsonb)`,
      [
        this.#flow,
        JSON.stringify(
          this.#staged.map((letter) => ({ ...letter, change: storeChange(letter.change) })),
        ),
      ],
    );
  }

  committed(): void {
    this.#size += this.#staged.length;
    for (const row of this.#stagedRows) this.#rows.add(row);
    this.#stale = false;
    this.rolledBack();
  }

  /** What a truncate has deleted in the transaction is there again: `refresh` then. */
  rolledBack(): void {
    this.#staged = [];
    this.#stagedRows.clear();
  }

  /** Letters to be tried again, in source order, with all that wait behind them. */
  async wanted(client: pg.Client): Promise<ParkedLetter[]> {
    const { rows } = await client.query<{
      id: string;
      source_table: string;
      keys: string[][];
      change: StoredChange;
      mode: Mode;
      position: string;
      committed_ms: number;
      error: string | null;
      sql_state: string | null;
    }>(
      `SELECT id, source_table, keys, change, mode, position, error, sql_state,
              extract(epoch FROM committed_at)::float8 * 1000 AS committed_ms
         FROM banyan.parked WHERE flow = $1 AND EXISTS (SELECT 1 FROM banyan.parked WHERE flow = $1 AND retry)
        ORDER BY id FOR UPDATE`,
      [this.#flow],
    );
    return rows.map((row) => ({
      id: row.id,
      table: row.source_table,
      keys: row.keys,
      change: restoreChange(row.source_table, row.change),
      mode: row.mode,
      position: row.position,
      commitMs: row.committed_ms,
      error: row.error === null ? null : { message: row.error, sqlState: row.sql_state },
    }));
  }

  /** Records how a retry went. */
  async settle(
    client: pg.Client,
    applied: readonly string[],
    failed: readonly { readonly id: string; readonly refusal: Refusal }[],
  ): Promise<void> {
    await client.query('DELETE FROM banyan.parked WHERE id = ANY ($1::bigint[])', [applied]);
    for (const { id, refusal } of failed)
      await client.query(
        'UPDATE banyan.parked SET error = $2, sql_state = $3, attempts = attempts + 1 WHERE id = $1',
        [id, refusal.message, refusal.sqlState],
      );
    await client.query('UPDATE banyan.parked SET retry = false WHERE flow = $1 AND retry', [
      this.#flow,
    ]);
  }
}
