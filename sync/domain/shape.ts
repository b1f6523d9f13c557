// What of a source table a flow depends on beside its rows, and what a change of it means. A table that
// is not published sends nothing; one that was altered or replaced has values that the stream never
// told of, and is copied again.
import { misfit } from './widths.ts';

export interface Shape {
  /** The table's number in the catalog: another one under its name is another table. */
  readonly oid: number;
  /** The number of its entry in the publication: another one means that it was out of it, or filtered, for a while. */
  readonly member: number | null;
  /** Types of the mapped columns, with their modifiers. */
  readonly columns: Readonly<Record<string, string>>;
}

/** How a publication sends a table; undefined when it does not. */
export interface Published {
  readonly columns: readonly string[];
  readonly filter: string | null;
  /** Kinds of changes that it leaves out. */
  readonly without: readonly string[];
}

/** Why changes of a table would not arrive; undefined when they would. */
export function gap(shape: Shape, published: Published | undefined): string | undefined {
  if (!published) return 'is not in it';
  if (published.without.length > 0) return `comes without its ${published.without.join(', ')}`;
  if (published.filter !== null) return `comes filtered by ${published.filter}`;
  const missing = Object.keys(shape.columns).filter((name) => !published.columns.includes(name));
  return missing.length > 0 ? `comes without column ${missing.join(', ')}` : undefined;
}

/** What is different now so that the rows must be read again; undefined when the stream told of all. */
export function altered(before: Shape, now: Shape): string | undefined {
  if (before.oid !== now.oid) return 'was replaced';
  if (before.member !== now.member) return 'was published otherwise for a while';
  const retyped = Object.entries(now.columns).filter(([name, type]) => {
    const known = before.columns[name];
    return known !== undefined && known !== type && !keepsValues(known, type);
  });
  if (retyped.length === 0) return undefined;
  return `has another type of column ${retyped.map(([name, type]) => `${name} (${type}, was ${before.columns[name] ?? ''})`).join(', ')}`;
}

const KINDS = [
  /^(smallint|integer|bigint)$/,
  /^(text|character varying)(\(\d+\))?$/,
  /^numeric(\(\d+(, ?-?\d+)?\))?$/,
];

/** Whether ALTER TABLE … TYPE leaves every value as it was: a wider type of the same kind does. */
function keepsValues(from: string, into: string): boolean {
  return (
    KINDS.some((kind) => kind.test(from) && kind.test(into)) && misfit(from, into) === undefined
  );
}
