// Rows that are known, or there, only in part.
import type { Value } from './change.ts';
import type { RowOperation, TargetTable } from './target-table.ts';

export type Rows = ReadonlyMap<TargetTable, readonly RowOperation[]>;

/** Known only in part: values that wait for their row, or a row whose values were not all sent. */
export function isHalf(row: RowOperation): boolean {
  return row.partial || (row.exists === 'gone' && row.values.some(known));
}

function known(value: Value): boolean {
  return value !== undefined;
}

/**
 * The same rows without what their nullable foreign keys say, those that are to go included; undefined
 * when they say nothing.
 */
export function withoutReferences(rows: Rows): Map<TargetTable, RowOperation[]> | undefined {
  const says = (target: TargetTable, row: RowOperation): boolean =>
    target.references.some(
      (index) => row.exists === 'gone' || typeof row.values[index] === 'string',
    );
  if (![...rows].some(([target, all]) => all.some((row) => says(target, row)))) return undefined;
  const bare = (target: TargetTable, row: RowOperation): RowOperation => ({
    ...row,
    exists: row.exists === 'gone' ? 'touch' : row.exists,
    // Not `map`: it passes by what was never set.
    values: Array.from(row.values, (value, index) =>
      (row.exists === 'gone' || typeof value === 'string') && target.references.includes(index)
        ? null
        : value,
    ),
  });
  return new Map([...rows].map(([target, all]) => [target, all.map((row) => bare(target, row))]));
}

/** Rows that were to go and come anew, as rows that become the new ones where they are; the others as they are. */
export function inPlace(rows: Rows): Map<TargetTable, RowOperation[]> {
  return new Map([...rows].map(([target, all]) => [target, becoming(target, all)]));
}

/** The same of one target. */
export function becoming(target: TargetTable, rows: readonly RowOperation[]): RowOperation[] {
  return rows.map((row) =>
    row.replaced
      ? {
          ...{ ...row, replaced: false, fresh: false, from: undefined },
          values: Array.from(row.values, (value, index) =>
            value === undefined && !target.required.includes(index)
              ? (target.columns[index]?.absent ?? null)
              : value,
          ),
        }
      : row,
  );
}

/** Those whose keys were not returned. */
export function missing(
  target: TargetTable,
  rows: readonly RowOperation[],
  returned: readonly Record<string, string>[],
): RowOperation[] {
  const found = new Set(
    returned.map((row) => target.key.map((_, index) => row[`k${index}`]).join('\u0000')),
  );
  return rows.filter((row) => !found.has(row.key.join('\u0000')));
}
