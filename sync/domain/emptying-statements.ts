// The SQL that empties a target: it writes, or finds, all rows of a table that are ours to write.
import type { RowFilter } from '../../control/domain/mapped-table.ts';
import {
  formatTable,
  quoteIdentifier,
  quoteLiteral,
  quoteTable,
  type TableName,
} from '../../core/postgres/identifiers.ts';
import type { Constant, Edge } from './mapping.ts';
import { absentText, whereOurs } from './statements.ts';
import { takenText } from './taken.ts';
import type { TargetTable } from './target-table.ts';

interface GuardedTable {
  readonly name: TableName;
  readonly guard: RowFilter;
}

/** Deletes all rows that are ours to write. */
export function emptyText({ name, guard }: GuardedTable): string {
  return `DELETE FROM ${quoteTable(name)} AS t${whereOurs(guard)}`;
}

/** Deletes the rows of a part whose driver's row is there. */
export function emptyPartText(part: Edge, driver: Edge): string {
  return `DELETE FROM ${quoteTable(part.target)} AS t USING ${quoteTable(driver.target)} AS d WHERE ${sameRow(part, driver)}`;
}

/** Whether the driver's row of a part's row `t` is there: one that no row of ours drives is not ours. */
export function isDrivenText(part: Edge, driver: Edge): string {
  return `EXISTS (SELECT FROM ${quoteTable(driver.target)} AS d WHERE ${sameRow(part, driver)})`;
}

/**
 * Both have their keys from the same columns of the source, and each in a type of its own. Numbers are equal
 * whatever their types are; anything else is by its text.
 */
function sameRow(part: Edge, driver: Edge): string {
  const same = part.key.map(({ source, target, type }) => {
    const own = driver.key.find((pair) => pair.source === source);
    if (!own) throw new RangeError(`no key column of the driver comes from ${source}`);
    const value = `d.${quoteIdentifier(own.target)}`;
    const isComparable = own.type === type || (NUMBER.test(own.type) && NUMBER.test(type));
    return `${isComparable ? value : `${value}::text::${type}`} = t.${quoteIdentifier(target)}`;
  });
  return same.join(' AND ');
}

const NUMBER = /^(smallint|integer|bigint|numeric)$/;

/** The edge that drives the row that an optional one adds a part to. */
export function driverOf(part: Edge, edges: readonly Edge[]): Edge | undefined {
  if (!part.optional) return undefined;
  return edges.find(
    (one) => one.driver && !one.optional && formatTable(one.source) === formatTable(part.source),
  );
}

/** Sets columns of all rows that are ours to write to these values. */
export function clearText({ name, guard }: GuardedTable, to: readonly Constant[]): string {
  const sets = to.map(({ column, type, value }) => {
    const text = absentText({ type, absent: value });
    return `${quoteIdentifier(column)} = ${text}`;
  });
  return `UPDATE ${quoteTable(name)} AS t SET ${sets.join(', ')}${whereOurs(guard)}`;
}

/** The keys of all rows of a driver's target, as lists of text, beside the name of a part. */
export function orphansText(edge: Edge, part: string): string {
  // Unlike a cast, this leaves the blanks of a character(n).
  const key = edge.key.map(({ target }) => `format('%s', t.${quoteIdentifier(target)})`);
  return `SELECT ${quoteLiteral(part)} AS source_table, ARRAY[${key.join(', ')}] AS key FROM ${allOurs(edge.target, edge.guard)}`;
}

/** The rows that would go or change by themselves if all went that are ours to write. */
export function takenByAll({ name, guard, taken }: TargetTable): string {
  return takenText(taken, allOurs(name, guard));
}

function allOurs(name: TableName, guard: RowFilter): string {
  return `${quoteTable(name)} AS t${whereOurs(guard)}`;
}
