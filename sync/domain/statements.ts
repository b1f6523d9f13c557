// The SQL that writes a batch: multi-row statements over unnested arrays of text, cast to the
// target's types. One text per (table, kind, set of columns), so that they can be prepared.
import { quoteIdentifier, quoteLiteral, quoteTable } from '../../core/postgres/identifiers.ts';
import type { RowFilter } from '../../control/domain/mapped-table.ts';
import { copyField, textArray } from '../../core/postgres/text-forms.ts';
import { belongsSql } from '../../control/domain/row-filter.ts';
import { sameText } from './equality.ts';
import { takenText } from './taken.ts';
import type { RowOperation, TargetTable } from './target-table.ts';
import type { TargetColumn } from './mapping.ts';

export interface Statement {
  readonly kind: 'delete' | 'upsert' | 'update';
  readonly text: string;
  readonly values: string[];
  readonly rows: readonly RowOperation[];
  /** When it wrote fewer rows than it was given: tells which are there, and puts in those that are not. */
  readonly otherwise?: {
    readonly there: Statement;
    readonly put: (rows: readonly RowOperation[]) => Statement;
  };
}

/** Rows in COPY's text format. */
export interface Copy {
  readonly text: string;
  readonly lines: Buffer;
}

const AS_THEY_ARE = new Set([
  ...['smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision', 'boolean', 'uuid'],
  ...['date', 'timestamp with time zone', 'timestamp without time zone'],
]);

/** Below this many rows a COPY with its savepoint is not faster than an upsert. */
const COPY_ROWS = 100;

/** Whether rows of a target may be copied in: all are new to it and known in full. */
export function mayCopy(operations: readonly RowOperation[]): boolean {
  if (operations.length < COPY_ROWS) return false;
  for (const row of operations)
    if (!row.fresh || row.exists !== 'put' || row.values.includes(undefined)) return false;
  return true;
}

/** Puts rows in without looking whether they are there. COPY takes identity columns as they come. */
export function copyStatement(target: TargetTable, operations: readonly RowOperation[]): Copy {
  const given = [...target.key, ...target.columns].map(({ name }) => quoteIdentifier(name));
  const constants = target.constants.filter((one) => !given.includes(quoteIdentifier(one.column)));
  const columns = [...given, ...constants.map((one) => quoteIdentifier(one.column))];
  const rest = constants.map((one) => copyField(one.value));
  const lines = operations.map(({ key, values }) => {
    const fields = new Array<string>(columns.length);
    let at = 0;
    for (const value of key) fields[at++] = copyField(value);
    for (const value of values) fields[at++] = copyField(value ?? null);
    for (const value of rest) fields[at++] = value;
    return fields.join('\t');
  });
  return {
    text: `COPY ${quoteTable(target.name)} (${columns.join(', ')}) FROM STDIN`,
    lines: Buffer.from(`${lines.join('\n')}\n`),
  };
}

/** Deletes of a target: rows that are gone, and rows that will be put anew. */
export function deleteStatement(
  target: TargetTable,
  operations: readonly RowOperation[],
): Statement | undefined {
  const rows = inKeyOrder(operations.filter((row) => row.exists === 'gone' || row.replaced));
  if (rows.length === 0) return undefined;
  // A row whose key was written otherwise since, and is equal all the same, has not gone.
  const written = target.key.flatMap(({ name, type, unequal }, index) =>
    unequal === true
      ? ` AND ${sameText(`t.${quoteIdentifier(name)}`, `s.k${index}`, { type, wide: false, unequal })}`
      : [],
  );
  const text = `DELETE FROM ${quoteTable(target.name)} AS t USING ${source(target, [])} WHERE ${ownRow(target)}${written.join('')}`;
  return { kind: 'delete', text, values: keyArrays(target, rows), rows };
}

/**
 * Puts and touches of a target, grouped by the columns that they know. A put that knows every
 * column a driver feeds is an upsert; anything less can only update a row that is there. Where the
 * source did not insert, the row is most likely there, and an update is cheaper than finding that out
 * by a conflict.
 */
export function writeStatements(
  target: TargetTable,
  operations: readonly RowOperation[],
): Statement[] {
  const groups = new Map<
    string,
    { columns: number[]; upsert: boolean; there: boolean; rows: RowOperation[] }
  >();
  for (const row of operations) {
    if (row.exists === 'gone') continue;
    const mask = maskOf(row);
    const upsert =
      row.exists === 'put' &&
      (mask === '' || target.required.every((index) => row.values[index] !== undefined));
    const there = upsert && !row.fresh && !row.replaced && target.columns.length > 0;
    const label = `${upsert ? (there ? '~' : '+') : '='}${mask}`;
    let group = groups.get(label);
    if (!group) {
      const columns = [...target.columns.keys()].filter((index) => mask[index] !== '-');
      groups.set(label, (group = { columns, upsert, there, rows: [] }));
    }
    group.rows.push(row);
  }
  return [...groups.values()].map(({ columns, upsert, there, rows: unordered }) => {
    const rows = inKeyOrder(unordered);
    const values = valuesOf(target, columns, rows);
    if (!upsert) return { kind: 'update', text: updateText(target, columns), values, rows };
    const put = (some: readonly RowOperation[]): Statement => ({
      kind: 'upsert',
      text: upsertText(target, columns),
      values: some === rows ? values : valuesOf(target, columns, some),
      rows: some,
    });
    if (!there || columns.length === 0) return put(rows);
    const known: Statement = {
      kind: 'update',
      text: updateText(target, []),
      values: keyArrays(target, rows),
      rows,
    };
    return {
      kind: 'upsert',
      text: updateOnly(target, columns),
      values,
      rows,
      otherwise: { there: known, put },
    };
  });
}

/** What a column holds where the part that feeds it has no row, in SQL. */
export function absentText({ type, absent }: Pick<TargetColumn, 'type' | 'absent'>): string {
  return absent === null ? 'NULL' : `${quoteLiteral(absent)}::${type}`;
}

/** Which rows are ours to write, as a WHERE clause; empty where all are. */
export function whereOurs(guard: RowFilter): string {
  const condition = belongsSql(guard, 't');
  return condition === undefined ? '' : ` WHERE ${condition}`;
}

/** The rows that would go or change by themselves if these went. */
export function takenBy(
  target: TargetTable,
  rows: readonly RowOperation[],
): Pick<Statement, 'text' | 'values'> {
  const those = `${quoteTable(target.name)} AS t JOIN ${source(target, [])} ON ${ownRow(target)}`;
  return { text: takenText(target.taken, those), values: keyArrays(target, rows) };
}

export function valuesOf(
  target: TargetTable,
  columns: readonly number[],
  rows: readonly RowOperation[],
): string[] {
  return [
    ...keyArrays(target, rows),
    ...columns.map((index) => textArray(rows.map((row) => row.values[index] ?? null))),
  ];
}

/** Applications that lock several rows do so in key order; two that agree on it never deadlock. */
function inKeyOrder(rows: readonly RowOperation[]): readonly RowOperation[] {
  // A run of inserts is in order already.
  for (let index = 1; index < rows.length; index++)
    if (byKey(rows[index - 1] as RowOperation, rows[index] as RowOperation) > 0)
      return [...rows].sort(byKey);
  return rows;
}

function byKey(a: RowOperation, b: RowOperation): number {
  for (let index = 0; index < a.key.length; index++) {
    const left = a.key[index] ?? '';
    const right = b.key[index] ?? '';
    // By length first: the order of numbers, and for text any fixed order will do.
    if (left !== right) return left.length - right.length || (left < right ? -1 : 1);
  }
  return 0;
}

/** Which columns an operation knows, as text; empty when it knows all. */
function maskOf({ values }: RowOperation): string {
  if (!values.includes(undefined)) return '';
  let mask = '';
  for (const value of values) mask += value === undefined ? '-' : 'x';
  return mask;
}

function upsertText(target: TargetTable, columns: readonly number[]): string {
  const key = target.key.map((column) => quoteIdentifier(column.name));
  const names = columns.map((index) => quoteIdentifier(target.columns[index]?.name ?? ''));
  const constants = target.constants.filter((one) => !names.includes(quoteIdentifier(one.column)));
  const inserted = [...key, ...names, ...constants.map((one) => quoteIdentifier(one.column))];
  const selected = [
    ...target.key.map((column, index) => `s.k${index}::${column.type}`),
    ...columns.map((index) => `s.c${index}::${target.columns[index]?.type ?? 'text'}`),
    ...constants.map(
      (one) => `${one.value === null ? 'NULL' : quoteLiteral(one.value)}::${one.type}`,
    ),
  ];
  const updates = names.map((name) => `${name} = EXCLUDED.${name}`);
  return `INSERT INTO ${quoteTable(target.name)} AS t (${inserted.join(', ')}) OVERRIDING SYSTEM VALUE
SELECT ${selected.join(', ')} FROM ${source(target, columns)}
ON CONFLICT (${key.join(', ')}) DO ${updates.length === 0 ? 'NOTHING' : `UPDATE SET ${updates.join(', ')}${whereOurs(target.guard)}`}`;
}

/** Returns the keys of the rows that were there. */
function updateText(target: TargetTable, columns: readonly number[]): string {
  const returned = target.key.map((_, index) => `s.k${index}`).join(', ');
  // Nothing to set still tells which rows are there.
  if (columns.length === 0)
    return `SELECT ${returned} FROM ${quoteTable(target.name)} AS t JOIN ${source(target, [])} ON ${ownRow(target)}`;
  return `${updateOnly(target, columns)} RETURNING ${returned}`;
}

function updateOnly(target: TargetTable, columns: readonly number[]): string {
  const sets = columns.map(
    (index) =>
      `${quoteIdentifier(target.columns[index]?.name ?? '')} = s.c${index}::${target.columns[index]?.type ?? 'text'}`,
  );
  // What a guest has comes to rows that mostly show it already.
  const news = columns.map((index) => {
    const { name = '', type = 'text', wide = false, unequal = false } = target.columns[index] ?? {};
    return `NOT (${sameText(`t.${quoteIdentifier(name)}`, `s.c${index}`, { type, wide, unequal })})`;
  });
  return `UPDATE ${quoteTable(target.name)} AS t SET ${sets.join(', ')}
FROM ${source(target, columns)} WHERE ${ownRow(target)}${target.driven ? '' : ` AND (${news.join(' OR ')})`}`;
}

export function source(target: TargetTable, columns: readonly number[]): string {
  const names = [
    ...target.key.map((_, index) => `k${index}`),
    ...columns.map((index) => `c${index}`),
  ];
  // Read as what they are going to be, where an array of them is written like one of texts: that is cheaper
  // than texts that are cast. Keys stay texts, for they are given back.
  const types = [
    ...target.key.map(() => 'text'),
    ...columns.map((index) => target.columns[index]?.type ?? 'text'),
  ].map((type) => (AS_THEY_ARE.has(type) ? type : 'text'));
  // In a list of its own each row is made when it is asked for; as functions in FROM, each array would be
  // written into a store of its own first.
  const given = names.map(
    (name, index) => `unnest($${index + 1}::${types[index] ?? 'text'}[]) AS ${name}`,
  );
  return `(SELECT ${given.join(', ')}) AS s`;
}

/** The row of a key, where it is ours to write. */
export function ownRow(target: TargetTable): string {
  return target.key
    .map((column, index) => `t.${quoteIdentifier(column.name)} = s.k${index}::${column.type}`)
    .concat(belongsSql(target.guard, 't') ?? [])
    .join(' AND ');
}

export function keyArrays(target: TargetTable, rows: readonly RowOperation[]): string[] {
  return target.key.map((_, index) => textArray(rows.map((row) => row.key[index] ?? null)));
}
