// The reading side of a flow beside its stream: rows by key, in PostgreSQL's own text, each read
// with the snapshot it was made in; and the messages that a flow writes into the source's WAL.
import type pg from 'pg';
import { rawRows } from '../core/postgres/connect.ts';
import { copyOut } from '../core/postgres/copy-out.ts';
import {
  formatTable,
  parseTableName,
  quoteIdentifier,
  quoteLiteral,
  quoteTable,
} from '../core/postgres/identifiers.ts';
import type { LiveSchema } from '../core/postgres/catalog.ts';
import { encodeMessage, type FlowMessage } from '../control/domain/flow.ts';
import { MESSAGE_PREFIX } from '../control/domain/names.ts';
import type { Relation, RowChange, Tuple } from './domain/change.ts';
import { sourceColumns, type Edge } from './domain/mapping.ts';
import { belongsSql } from '../control/domain/row-filter.ts';
import { parseSnapshot, type Snapshot } from './domain/snapshot.ts';
import { FittingRows } from './fitting-rows.ts';
import { existingKeys, keyArrays, keyJoin, walk, type Key, type KeyColumn } from './keys.ts';

/** A source table with the columns that its edges need. */
export interface SourceTable {
  readonly label: string;
  readonly edges: readonly Edge[];
  /** Key columns with their types. */
  readonly key: readonly KeyColumn[];
  readonly relation: Relation;
  /** Condition on a row `t`: it belongs to the capability; undefined where all do. */
  readonly belongs: string | undefined;
  /** The key of one of its rows, as targets know it. */
  keyOf(row: Tuple): string[];
}

/** Throws a RangeError for a table that no edge starts from. */
export function sourceTable(
  label: string,
  edges: readonly Edge[],
  schema: LiveSchema,
): SourceTable {
  const own = edges.filter((edge) => formatTable(edge.source) === label);
  const first = own[0];
  const live = schema.get(label);
  if (!first || !live) throw new RangeError(`no edge starts from ${label}`);
  const names = [...new Set(own.flatMap(sourceColumns))];
  const key = first.key.map((pair) => ({
    name: pair.source,
    type: live.columns.get(pair.source)?.type ?? 'text',
  }));
  const places = first.key.map((pair) => ({ pair, at: names.indexOf(pair.source) }));
  return {
    label,
    edges: own,
    belongs: belongsSql(first.filter, 't'),
    key,
    relation: {
      ...parseTableName(label),
      columns: names.map((name) => ({
        name,
        key: key.some((one) => one.name === name),
      })),
    },
    keyOf: (row) => places.map(({ pair, at }) => pair.map(row[at] ?? '')),
  };
}

export function insertOf(table: SourceTable, after: Tuple): RowChange {
  return { kind: 'insert', relation: table.relation, after };
}

/** That the row of a key, as targets know it, is gone. */
export function deleteOf(table: SourceTable, key: Key): RowChange {
  const before = table.relation.columns.map(
    (column) => key[table.key.findIndex((one) => one.name === column.name)],
  );
  return { kind: 'delete', relation: table.relation, before };
}

export type Say = (message: FlowMessage) => Promise<void>;

export class Source {
  readonly #client: pg.Client;
  readonly #say: Say | undefined;

  /** `say` brings messages into the stream where that is not by the WAL. */
  constructor(client: pg.Client, say?: Say) {
    this.#client = client;
    this.#say = say;
  }

  /** Writes a message into the WAL, in a transaction of its own. */
  async emit(message: FlowMessage): Promise<void> {
    if (this.#say) {
      await this.#say(message);
      return;
    }
    await rawRows(this.#client, 'SELECT pg_logical_emit_message(true, $1, $2)', [
      MESSAGE_PREFIX,
      encodeMessage(message),
    ]);
  }

  async snapshot(): Promise<Snapshot> {
    const rows = await rawRows(this.#client, 'SELECT pg_current_snapshot()');
    return parseSnapshot(rows[0]?.[0] ?? '0:0:');
  }

  /** Up to `limit` rows after `cursor` in key order, and the cursor behind them. */
  async readAfter(
    table: SourceTable,
    cursor: Key | null,
    limit: number,
    upTo: Key | null = null,
  ): Promise<{ snapshot: Snapshot; rows: Tuple[]; cursor: Key | null }> {
    const { clauses, values } = walk(table.key, cursor, limit, upTo, table.belongs);
    const { snapshot, value: rows } = await this.#atOneSnapshot(() =>
      rawRows(
        this.#client,
        `SELECT ${columnList(table)} FROM ${quoteTable(table.relation)} AS t ${clauses}`,
        values,
      ),
    );
    const last = rows.at(-1);
    const at = (name: string): number =>
      table.relation.columns.findIndex((column) => column.name === name);
    return {
      snapshot,
      rows,
      cursor: last ? table.key.map((column) => last[at(column.name)] ?? '') : cursor,
    };
  }

  /** The same rows as lines of COPY (domain/copy-lines.ts), in one round trip. */
  async linesAfter(
    table: SourceTable,
    cursor: Key | null,
    limit: number,
  ): Promise<{ snapshot: Snapshot; count: number; lines: Buffer }> {
    const { clauses } = walk(table.key, cursor, limit, null, table.belongs, (_, value) =>
      quoteLiteral(value),
    );
    try {
      const { rows, ...copied } = await copyOut(
        this.#client,
        `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT pg_current_snapshot();
         COPY (SELECT ${columnList(table)} FROM ${quoteTable(table.relation)} AS t ${clauses}) TO STDOUT; COMMIT`,
      );
      return { snapshot: parseSnapshot(rows[0]?.[0] ?? '0:0:'), ...copied };
    } catch (error) {
      await this.#client.query('ROLLBACK').catch(() => undefined);
      throw error;
    }
  }

  /**
   * The rows with these keys, by table, all from one snapshot; `read` tells how many of the keys were asked for
   * before there was as much as memory is to hold.
   */
  async readKeys(
    tables: readonly SourceTable[],
    keys: readonly Key[],
  ): Promise<{ snapshot: Snapshot; rows: Map<string, Tuple[]>; read: number }> {
    const { snapshot, value } = await this.#atOneSnapshot(async () => {
      const rows = new Map<string, Tuple[]>(tables.map(({ label }) => [label, []]));
      const size = new FittingRows(keys.length);
      let read = 0;
      for (let bytes = 0; read < keys.length && !FittingRows.isFull(bytes);) {
        const some = keys.slice(read, read + size.rows);
        read += some.length;
        const found: Tuple[] = [];
        for (const table of tables) {
          const { from, on } = keyJoin(table.key);
          const text = `SELECT ${columnList(table)} FROM ${quoteTable(table.relation)} AS t JOIN ${from} ON ${whole(on, table)}`;
          const own = await rawRows(this.#client, text, keyArrays(table.key, some));
          rows.get(table.label)?.push(...own);
          found.push(...own);
        }
        bytes += size.took(found);
      }
      return { rows, read };
    });
    return { snapshot, ...value };
  }

  /** Which of the keys exist, in the text they were asked for. */
  async existing(table: SourceTable, keys: readonly Key[]): Promise<Set<string>> {
    return existingKeys(this.#client, table.relation, table.key, keys, table.belongs);
  }

  async #atOneSnapshot<T>(read: () => Promise<T>): Promise<{ snapshot: Snapshot; value: T }> {
    await this.#client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    try {
      const snapshot = await this.snapshot();
      return { snapshot, value: await read() };
    } finally {
      await this.#client.query('COMMIT');
    }
  }
}

function whole(on: string, { belongs }: SourceTable): string {
  return belongs === undefined ? on : `${on} AND ${belongs}`;
}

function columnList(table: SourceTable): string {
  return table.relation.columns.map((column) => `t.${quoteIdentifier(column.name)}`).join(', ');
}
