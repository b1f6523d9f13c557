// The SQL for rows that are in the way of others, or of themselves: they get new keys, let go of unique
// values, become other rows where they are.
import { quoteIdentifier, quoteLiteral, quoteTable } from '../../core/postgres/identifiers.ts';
import { textArray } from '../../core/postgres/text-forms.ts';
import { absentText, keyArrays, ownRow, source, valuesOf, type Statement } from './statements.ts';
import type { RowOperation, TargetTable } from './target-table.ts';

/**
 * Gives rows that are there their new keys, unless others have those. Parts that are known by key have
 * not moved by that.
 */
export function moveStatement(
  target: TargetTable,
  operations: readonly RowOperation[],
): Statement | undefined {
  const rows = operations.filter((row) => row.from !== undefined && !row.replaced);
  if (rows.length === 0) return undefined;
  const sets = [
    ...target.key.map(({ name, type }, index) => `${quoteIdentifier(name)} = s.n${index}::${type}`),
    ...target.columns.flatMap((column, index) =>
      target.required.includes(index)
        ? []
        : [`${quoteIdentifier(column.name)} = ${absentText(column)}`],
    ),
  ];
  const names = [...target.key.keys()].flatMap((index) => [`k${index}`, `n${index}`]);
  const taken = target.key.map(
    ({ name, type }, index) => `x.${quoteIdentifier(name)} = s.n${index}::${type}`,
  );
  // Its new key may be equal to its own old one.
  const another = target.key.some(({ unequal }) => unequal === true)
    ? ' AND (x.tableoid, x.ctid) IS DISTINCT FROM (t.tableoid, t.ctid)'
    : '';
  const text = `UPDATE ${quoteTable(target.name)} AS t SET ${sets.join(', ')}
FROM unnest(${names.map((_, index) => `$${index + 1}::text[]`).join(', ')}) AS s(${names.join(', ')})
WHERE ${ownRow(target)} AND NOT EXISTS (SELECT FROM ${quoteTable(target.name)} AS x WHERE ${taken.join(' AND ')}${another})`;
  const values = [...target.key.keys()].flatMap((index) => [
    textArray(rows.map((row) => row.from?.[index] ?? null)),
    textArray(rows.map((row) => row.key[index] ?? null)),
  ]);
  return { kind: 'update', text, values, rows };
}

/** Puts something else into a column of rows that are there and are to get another value. */
export function setAsideStatement(
  target: TargetTable,
  column: number,
  expression: string,
  rows: readonly RowOperation[],
): Statement {
  const { name = '', type = 'text' } = target.columns[column] ?? {};
  const text = `UPDATE ${quoteTable(target.name)} AS t SET ${quoteIdentifier(name)} = ${expression}
FROM ${source(target, [column])} WHERE ${ownRow(target)} AND t.${quoteIdentifier(name)} IS DISTINCT FROM s.c${column}::${type}`;
  return { kind: 'update', text, values: valuesOf(target, [column], rows), rows };
}

/** A column that the flow does not name. */
export interface OwnColumn {
  readonly name: string;
  readonly type: string;
  /** SQL of what a new row has there; undefined where each gets a number of its own. */
  readonly initial: string | undefined;
}

/** Has what the target alone knows of rows begin anew; those where it already has are left alone. */
export function resetStatement(
  target: TargetTable,
  own: readonly OwnColumn[],
  rows: readonly RowOperation[],
): Statement | undefined {
  const columns = [
    ...own.map(({ name, type, initial }) => ({ name, type, to: 'DEFAULT', initial })),
    ...target.constants.map(({ column: name, value, type }) => {
      const constant = value === null ? 'NULL' : quoteLiteral(value);
      return { name, type, to: `${constant}::${type}`, initial: constant };
    }),
  ];
  if (columns.length === 0 || rows.length === 0) return undefined;
  const sets = columns.map(({ name, to }) => `${quoteIdentifier(name)} = ${to}`);
  const news = columns.map(({ name, type, initial }) =>
    initial === undefined
      ? 'true'
      : `t.${quoteIdentifier(name)}::text IS DISTINCT FROM CAST(CAST(${initial} AS ${type}) AS text)`,
  );
  const text = `UPDATE ${quoteTable(target.name)} AS t SET ${sets.join(', ')} FROM ${source(target, [])} WHERE ${ownRow(target)} AND (${news.join(' OR ')})`;
  return { kind: 'update', text, values: keyArrays(target, rows), rows };
}
