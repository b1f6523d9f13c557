// At the service under a write canary: rows that clients have changed are in flight until the owner has
// judged the change, and what the owner's stream says of them meanwhile is passed over (verdict.ts says
// why that is right). The triggers of control/domain/share.ts say which rows these are.
import type pg from 'pg';
import { formatTable, quoteIdentifier, quoteTable } from '../core/postgres/identifiers.ts';
import { textArray } from '../core/postgres/text-forms.ts';
import { sleep } from '../core/lifecycle.ts';
import { rawRows } from '../core/postgres/connect.ts';
import { encodeMessage } from '../control/domain/flow.ts';
import { MESSAGE_PREFIX } from '../control/domain/names.ts';
import type { Rows } from './domain/partial-rows.ts';
import { keyText, type RowOperation, type TargetTable } from './domain/target-table.ts';
import { sameText } from './domain/equality.ts';
import { lands } from './domain/verdict.ts';

/** How long a commit may take from the log to where it is seen; it may wait for a standby. */
const ENDING_MS = 3_000;
const ENDING_AGAIN_MS = 5;

/** A reset of a row: its target table and key. */
export interface Reset {
  readonly target: TargetTable;
  readonly key: readonly string[];
  /** The key as the owner's message has it, and expects it back. */
  readonly named: readonly string[];
  /** The owner waits to hear of it. */
  readonly awaited: boolean;
}

export class Flights {
  readonly #client: pg.Client;
  readonly #capability: string;
  readonly #texts = new WeakMap<TargetTable, { readonly lock: string; readonly flying: string }>();

  constructor(client: pg.Client, capability: string) {
    this.#client = client;
    this.#capability = capability;
  }

  /**
   * The owner has judged what these transactions changed. Throws 55P03 where one of them, though it is in the
   * log, is not visible yet after seconds: what it says is in flight would be found by nobody, and stay so.
   */
  async end(xids: readonly number[]): Promise<void> {
    if (xids.length === 0) return;
    const since = performance.now();
    while (await this.#ending(xids)) {
      if (performance.now() > since + ENDING_MS)
        throw Object.assign(new Error('a commit of the service is in its log, and not visible'), {
          code: '55P03',
        });
      await sleep(ENDING_AGAIN_MS);
    }
    await this.#client.query(
      'DELETE FROM banyan.flight WHERE capability = $1 AND xid = ANY ($2::bigint[])',
      [this.#capability, xids],
    );
  }

  /** A transaction gives up the lock on its id when everybody sees what it did. */
  async #ending(xids: readonly number[]): Promise<boolean> {
    const rows = await rawRows(
      this.#client,
      `SELECT 1 FROM pg_locks WHERE locktype = 'transactionid' AND granted AND transactionid::text::bigint = ANY ($1::bigint[]) LIMIT 1`,
      [textArray(xids.map(String))],
    );
    return rows.length > 0;
  }

  /** Whether any row is in flight: what collides with it may soon do so no more. */
  async any(): Promise<boolean> {
    const rows = await rawRows(
      this.#client,
      'SELECT 1 FROM banyan.flight WHERE capability = $1 LIMIT 1',
      [this.#capability],
    );
    return rows.length > 0;
  }

  /** What clients have made of these rows so far is void. What they make of them later is not. */
  async reset(resets: readonly Reset[]): Promise<void> {
    for (const { target, key, named, awaited } of resets) {
      const same = target.key.map(
        ({ name, type }, index) => `t.${quoteIdentifier(name)} = $${index + 1}::text::${type}`,
      );
      // Whoever is just changing the row has committed, or will see the reset.
      await this.#client.query(
        `SELECT 1 FROM ${quoteTable(target.name)} AS t WHERE ${same.join(' AND ')} FOR NO KEY UPDATE`,
        [...key],
      );
      const canonical = target.key.map(({ type }, index) => `$${index + 3}::text::${type}::text`);
      const table = formatTable(target.name);
      await this.#client.query(
        `DELETE FROM banyan.flight WHERE capability = $1 AND source_table = $2 AND key = ARRAY[${canonical.join(', ')}]`,
        [this.#capability, table, ...key],
      );
      if (!awaited) continue;
      const taken = { kind: 'taken', capability: this.#capability, table, key: named } as const;
      await this.#client.query('SELECT pg_logical_emit_message(true, $1, $2)', [
        MESSAGE_PREFIX,
        encodeMessage(taken),
      ]);
    }
  }

  /**
   * Locks the rows that are there, and leaves out what is in flight, or has come to be that way by
   * itself: an echo finds its row as it left it, and the team's triggers need not hear of it again.
   */
  async grounded(rows: Rows): Promise<{ readonly rows: Rows; readonly overtaken: number }> {
    const landing = new Map<
      TargetTable,
      { readonly row: RowOperation; readonly same: boolean }[]
    >();
    let overtaken = 0;
    for (const [target, operations] of rows) {
      const { lock, flying } = this.#textsOf(target);
      const keys = target.key.map((_, index) =>
        textArray(operations.map((row) => row.key[index] ?? null)),
      );
      const values = target.columns.map((_, index) =>
        textArray(operations.map((row) => row.values[index] ?? null)),
      );
      const found = await rawRows(this.#client, lock, [...keys, ...values]);
      const same = new Set(found.filter(([, is]) => is === 't').map(([place]) => Number(place)));
      const table = formatTable(target.name);
      // A statement of its own: it sees what the lock has waited for.
      const inFlight = new Set(
        (await rawRows(this.#client, flying, [this.#capability, table, ...keys])).map(([place]) =>
          Number(place),
        ),
      );
      const landed = operations
        .map((row, index) => ({ row, place: index + 1 }))
        .filter(({ place }) => lands(inFlight.has(place)))
        .map(({ row, place }) => ({
          row,
          same: row.exists !== 'gone' && !row.values.includes(undefined) && same.has(place),
        }));
      overtaken += operations.length - landed.length;
      landing.set(target, landed);
    }
    // Parents come first, and a cascade may take the rows of their parts along: also those that were as
    // they should be.
    const again = new Set<string>();
    const left = new Map<TargetTable, readonly RowOperation[]>();
    for (const [target, landed] of landing) {
      const there = new Set(landed.map(({ row }) => keyText(row.key)));
      const kept = landed
        .filter(({ row, same }) => !same || (row.replaced && again.has(sourceOf(row))))
        // A row that is in flight under its old key stays there until its change has been judged.
        .map(({ row }) =>
          row.from && !there.has(keyText(row.from)) ? { ...row, from: undefined } : row,
        );
      for (const row of kept) if (row.replaced) again.add(sourceOf(row));
      if (kept.length > 0) left.set(target, kept);
    }
    return { rows: left, overtaken };
  }

  #textsOf(target: TargetTable): { readonly lock: string; readonly flying: string } {
    const known = this.#texts.get(target);
    if (known) return known;
    const keys = target.key.map((_, index) => `k${index}`);
    const columns = target.columns.map((_, index) => `c${index}`);
    const from = (first: number, names: readonly string[]): string =>
      `unnest(${names.map((_, index) => `$${first + index}::text[]`).join(', ')}) WITH ORDINALITY AS s(${[...names, 'place'].join(', ')})`;
    const on = target.key
      .map(({ name, type }, index) => `t.${quoteIdentifier(name)} = s.k${index}::${type}`)
      .join(' AND ');
    const same = target.columns.map((column, index) =>
      sameText(`t.${quoteIdentifier(column.name)}`, `s.c${index}`, column),
    );
    const canonical = target.key.map(({ type }, index) => `s.k${index}::${type}::text`);
    const texts = {
      lock: `SELECT s.place, ${['true', ...same].join(' AND ')} FROM ${from(1, [...keys, ...columns])}
        JOIN ${quoteTable(target.name)} AS t ON ${on} FOR NO KEY UPDATE OF t`,
      flying: `SELECT s.place FROM ${from(3, keys)} WHERE EXISTS (SELECT 1 FROM banyan.flight f
        WHERE f.capability = $1 AND f.source_table = $2 AND f.key = ARRAY[${canonical.join(', ')}])`,
    };
    this.#texts.set(target, texts);
    return texts;
  }
}

/** The row of the source that an operation came from, as text. */
function sourceOf({ source, key }: RowOperation): string {
  return `${formatTable(source)} ${keyText(key)}`;
}
