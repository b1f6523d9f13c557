// What the service writes where the monolith looks for whether a row belongs: it may not take one out.
import type { RowFilter } from '../../control/domain/mapped-table.ts';
import { allows } from '../../control/domain/row-filter.ts';
import { LensError } from './lens.ts';

/** Gives a value of the monolith back, if it leaves its row among those that belong. */
export function staying(
  { column, values }: RowFilter[number],
  type: string,
): (value: string | null) => string | null {
  const allowed = allows(values, type);
  return (value) => {
    if (allowed(value)) return value;
    throw new LensError(
      `${value === null ? 'NULL' : JSON.stringify(value)} in ${column} takes the row out of those that "where" names`,
    );
  };
}
