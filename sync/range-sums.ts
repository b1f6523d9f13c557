// The first pass of a verification where rows can be compared by sums: both databases hash the rows of
// a range of keys, one range ahead of each other; a range that differs is split, and the smallest
// ranges that differ are given back, to be looked at row by row.
import type pg from 'pg';
import { rawRows } from '../core/postgres/connect.ts';
import { quoteIdentifier, quoteTable } from '../core/postgres/identifiers.ts';
import { compileSums, type Sums } from './domain/sums.ts';
import type { SourceTable } from './source.ts';

/** Keys behind `after` up to and including `upTo`; null for no bound. */
export interface KeyRange {
  readonly after: string | null;
  readonly upTo: string | null;
}

export interface RangeSumsOptions {
  readonly source: pg.Client;
  readonly target: pg.Client;
  readonly table: SourceTable;
  readonly rangeRows: number;
  /** Ranges of at most about this many rows are not split further. */
  readonly smallRows: number;
}

/** A range that was compared. */
export interface SummedRange {
  /** The last key of it; null at the end of the table. */
  readonly upTo: string | null;
  readonly rows: number;
  readonly differing: readonly KeyRange[];
  readonly last: boolean;
}

interface SourceRange extends KeyRange {
  readonly rows: string;
  /** One for each edge. */
  readonly sums: readonly (string | null)[];
}

/** Compares the keys behind the one it is given, range by range. Undefined where the table cannot be compared by sums. */
export function sumsOf(
  options: RangeSumsOptions,
): ((after: string | null) => AsyncGenerator<SummedRange>) | undefined {
  const compiled = options.table.edges.map(compileSums);
  if (!compiled.every((one) => one !== undefined)) return undefined;
  const [first] = compiled;
  if (!first) return undefined;
  const pass = new Pass(options, compiled, first);
  return (after) => ranges(pass, options.rangeRows, after);
}

async function* ranges(
  pass: Pass,
  rangeRows: number,
  from: string | null,
): AsyncGenerator<SummedRange> {
  let next = pass.source({ after: from, upTo: null }, rangeRows);
  for (;;) {
    const range = await next;
    const isLast = Number(range.rows) < rangeRows;
    // The source is already at the next range while the target is at this one.
    next = isLast
      ? Promise.resolve(range)
      : pass.source({ after: range.upTo, upTo: null }, rangeRows);
    next.catch(() => undefined);
    const whole = isLast ? { ...range, upTo: null } : range;
    const differing = (await pass.equal(whole)) ? [] : await pass.narrow(whole, rangeRows);
    yield { upTo: whole.upTo, rows: Number(range.rows), differing, last: isLast };
    if (isLast) return;
  }
}

const PARTS = 16;

class Pass {
  readonly #options: RangeSumsOptions;
  readonly #sums: readonly Sums[];
  readonly #key: Sums['key'];

  constructor(options: RangeSumsOptions, sums: readonly Sums[], first: Sums) {
    this.#options = options;
    this.#sums = sums;
    this.#key = first.key;
  }

  /** The first `limit` rows of a range at the source; it then ends at the last of them. */
  async source(range: KeyRange, limit: number): Promise<SourceRange> {
    const { source, table } = this.#options;
    const key = `t.${quoteIdentifier(this.#key.source)}`;
    const hashes = this.#sums.map((one, index) => `${one.source} AS h${index}`);
    const { where, values } = bounds(key, this.#key.sourceType, range, table.belongs);
    // There is no max(uuid); in the C collation its text is in the same order.
    const last = this.#key.sourceType === 'uuid' ? 'max(k::text COLLATE "C")' : 'max(k)::text';
    const [row = []] = await rawRows(
      source,
      `SELECT count(*), ${last}, ${this.#sums.map((_, index) => `bit_xor(h${index})`).join(', ')}
         FROM (SELECT ${key} AS k, ${hashes.join(', ')} FROM ${quoteTable(table.relation)} AS t
                ${where} ORDER BY ${key} LIMIT ${limit}) AS c`,
      values,
    );
    const [rows, upTo, ...sums] = row;
    return { after: range.after, upTo: upTo ?? range.upTo, rows: rows ?? '0', sums };
  }

  /** Whether the target has the same rows in this range. */
  async equal({ after, upTo, rows, sums }: SourceRange): Promise<boolean> {
    const { target, table } = this.#options;
    for (const [index, one] of this.#sums.entries()) {
      const edge = table.edges[index];
      if (!edge) return false;
      const key = `t.${quoteIdentifier(one.key.target)}`;
      const { where, values } = bounds(key, one.key.targetType, { after, upTo });
      const [row = []] = await rawRows(
        target,
        `SELECT count(*), bit_xor(${one.target}) FROM ${quoteTable(edge.target)} AS t ${where}`,
        values,
      );
      if (row[0] !== rows || row[1] !== sums[index]) return false;
    }
    return true;
  }

  /** The smallest parts of a range that differ. */
  async narrow(range: KeyRange, size: number): Promise<KeyRange[]> {
    const { smallRows } = this.#options;
    if (size <= smallRows) return [{ after: range.after, upTo: range.upTo }];
    const part = Math.max(smallRows, Math.ceil(size / PARTS));
    const found: KeyRange[] = [];
    let { after } = range;
    for (;;) {
      const one = await this.source({ after, upTo: range.upTo }, part);
      const isLast = Number(one.rows) < part;
      const whole = isLast ? { ...one, upTo: range.upTo } : one;
      if (!(await this.equal(whole))) found.push(...(await this.narrow(whole, part)));
      if (isLast) return found;
      after = one.upTo;
    }
  }
}

function bounds(
  key: string,
  type: string,
  { after, upTo }: KeyRange,
  condition?: string,
): { where: string; values: string[] } {
  const values: string[] = [];
  const parts: string[] = condition === undefined ? [] : [condition];
  const add = (operator: string, value: string | null): void => {
    if (value === null) return;
    values.push(value);
    parts.push(`${key} ${operator} $${values.length}::text::${type}`);
  };
  add('>', after);
  add('<=', upTo);
  return { where: parts.length === 0 ? '' : `WHERE ${parts.join(' AND ')}`, values };
}
