// What random writes of a side are made of: the rows that are there, keys that are not, values.
import { quoteLiteral } from '../../../core/postgres/identifiers.ts';
import type { Dice } from './dice.ts';
import { NAMES, type Names } from './names.ts';
import type { Row, Side } from './side.ts';

const SPICE = ['', '', '', '"', '\\', ',{}', "é'", '\n\t', 'NULL'];

/** Stands for the next version until the order of statements is known. */
export const NEXT = '§';

export class Matter {
  readonly side: Side;
  readonly names: Names;
  readonly dice: Dice;

  constructor(side: Side, dice: Dice) {
    this.side = side;
    this.names = NAMES[side.name];
    this.dice = dice;
  }

  insert([table]: readonly [string, ...string[]], values: readonly (string | null)[]): string {
    return `INSERT INTO ${table} VALUES (${values.map(q).join(', ')})`;
  }

  version(): string {
    const spice = this.dice.chance(0.1) ? ' bad' : this.dice.one(SPICE);
    return `v${NEXT} ${spice}`;
  }

  long(): string | null {
    return this.dice.chance(0.15) ? null : `v${NEXT} long`;
  }

  rows(table: string): Row[] {
    return [...(this.side.rows.get(table)?.values() ?? [])];
  }

  on(table: string, make: (id: string, row: Row) => string[]): string[] {
    const rows = this.rows(table);
    if (rows.length === 0) return [];
    const row = this.dice.one(rows);
    return make(row[0] ?? '', row);
  }

  two(table: string, make: (a: Row, b: Row) => string[]): string[] {
    const [a, b] = this.dice.shuffled(this.rows(table));
    return a && b ? make(a, b) : [];
  }

  any(table: string): string | null {
    const rows = this.rows(table);
    return rows.length === 0 || this.dice.chance(0.2) ? null : (this.dice.one(rows)[0] ?? null);
  }

  /** A key that no row has. */
  free(table: string, below: number): string | undefined {
    const taken = new Set(this.rows(table).map((row) => row[0]));
    const free = Array.from({ length: below }, (_, index) => String(index + 1)).filter(
      (id) => !taken.has(id),
    );
    return free.length === 0 ? undefined : this.dice.one(free);
  }
}

/** As a literal. */
export function q(value: string | null): string {
  return value === null ? 'NULL' : quoteLiteral(value);
}
