// The reading side of a simulated source: each request waits until the schedule has it answered, from
// the rows that a snapshot shows at that moment. So other transactions come before, between and after
// the marks of a window.
import type pg from 'pg';
import { encodeMessage, type FlowMessage } from '../../../control/domain/flow.ts';
import { copyField } from '../../../core/postgres/text-forms.ts';
import type { Tuple } from '../../../sync/domain/change.ts';
import { keyText } from '../../../sync/domain/target-table.ts';
import type { Snapshot } from '../../../sync/domain/snapshot.ts';
import type { Key } from '../../../sync/keys.ts';
import { Source, type SourceTable } from '../../../sync/source.ts';
import type { Row, Side } from './side.ts';

export class SimulatedSource extends Source {
  readonly #side: Side;
  #waiting: (() => void)[] = [];
  #ended = false;

  constructor(side: Side) {
    super(undefined as unknown as pg.Client);
    this.#side = side;
  }

  get waits(): boolean {
    return this.#waiting.length > 0;
  }

  /** Answers the request that waits longest. */
  answer(): void {
    this.#waiting.shift()?.();
  }

  /** Nobody is there any more who asked. */
  end(): void {
    this.#ended = true;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const answer of waiting) answer();
  }

  override emit(message: FlowMessage): Promise<void> {
    return this.#asked(() => {
      this.#side.history.message(encodeMessage(message));
    });
  }

  override snapshot(): Promise<Snapshot> {
    return Promise.resolve(this.#side.snapshot());
  }

  override linesAfter(
    table: SourceTable,
    cursor: Key | null,
    limit: number,
  ): Promise<{ snapshot: Snapshot; count: number; lines: Buffer }> {
    return this.#asked(() => {
      const rows = this.#side
        .visible(table.relation.table)
        .filter((row) => cursor === null || byKey(this.#keyOf(table, row), cursor) > 0)
        .sort((a, b) => byKey(this.#keyOf(table, a), this.#keyOf(table, b)))
        .slice(0, limit);
      const lines = rows.map((row) => `${lineOf(this.#tuple(table, row))}\n`);
      return {
        snapshot: this.#side.snapshot(),
        count: rows.length,
        lines: Buffer.from(lines.join('')),
      };
    });
  }

  override readKeys(
    tables: readonly SourceTable[],
    keys: readonly Key[],
  ): Promise<{ snapshot: Snapshot; rows: Map<string, Tuple[]>; read: number }> {
    const wanted = new Set(keys.map(keyText));
    return this.#asked(() => ({
      snapshot: this.#side.snapshot(),
      rows: new Map(
        tables.map((table) => [
          table.label,
          this.#side
            .visible(table.relation.table)
            .filter((row) => wanted.has(keyText(this.#keyOf(table, row))))
            .map((row) => this.#tuple(table, row)),
        ]),
      ),
      read: keys.length,
    }));
  }

  override existing(table: SourceTable, keys: readonly Key[]): Promise<Set<string>> {
    return this.#asked(() => {
      const there = this.#side
        .visible(table.relation.table)
        .map((row) => keyText(this.#keyOf(table, row)));
      const all = new Set(there);
      return new Set(keys.map(keyText).filter((key) => all.has(key)));
    });
  }

  #asked<T>(answer: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const now = (): void => {
        if (this.#ended) reject(new Error('Connection terminated'));
        else resolve(answer());
      };
      if (this.#ended) now();
      else this.#waiting.push(now);
    });
  }

  #tuple({ relation }: SourceTable, row: Row): Tuple {
    const columns = this.#side.tables.tables[relation.table] ?? [];
    return relation.columns.map(({ name }) => row[columns.indexOf(name)]);
  }

  #keyOf({ relation, key }: SourceTable, row: Row): string[] {
    const columns = this.#side.tables.tables[relation.table] ?? [];
    return key.map(({ name }) => row[columns.indexOf(name)] ?? '');
  }
}

/** A row as COPY sends it. */
function lineOf(tuple: Tuple): string {
  return tuple.map((value) => copyField(value ?? null)).join('\t');
}

/** As the database orders them: numbers by size, texts by their bytes. */
function byKey(a: Key, b: Key): number {
  for (const [index, left] of a.entries()) {
    const right = b[index] ?? '';
    if (left === right) continue;
    const isNumber = /^-?\d+$/.test(left) && /^-?\d+$/.test(right);
    return isNumber
      ? Number(left) - Number(right)
      : Buffer.compare(Buffer.from(left), Buffer.from(right));
  }
  return 0;
}
