// What of a source table a flow depends on beside its rows, and what a change of it means. A table that
// is not published sends nothing; one that was altered or replaced has values that the stream never
// told of, and is copied again.
import { misfit } from './widths.ts';

export interface Shape {
  /** The table's number in the catalog: another one under its name is another table. */
  readonly oid: number;
  /** The number of its entry in the publication: another one means that it was out of it, or filtered, for a while. */
  readonly member: number | null;
  /** The same of the entry of its schema, where it is published by that. */
  readonly schema?: number;
  /** Types of the mapped columns, with their modifiers. */
  readonly columns: Readonly<Record<string, string>>;
  /** Their places in the table: another one under the name is another column. */
  readonly numbers?: Readonly<Record<string, number>>;
  /** The number of its file: another one after it was rewritten. */
  readonly file?: number;
  /** The transaction that said last which kinds of changes the publication sends. */
  readonly publication?: number;
  /** Its partitions by their numbers, those of every level, where it has any kind of them. */
  readonly partitions?: Readonly<Record<string, Partition>>;
}

export interface Partition {
  /** The number of its file: another one after it was truncated, or rewritten, which look the same. */
  readonly file: number;
  /** The transaction that made it a partition, and the one that made it a table. */
  readonly since: number;
  readonly born: number;
  /** Which command of its transaction made it a partition. */
  readonly command: number;
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

/**
 * Whether it may have been out of the publication, or of one of its kinds of changes, for a while: what was
 * changed then is not sent, whenever it commits.
 */
export function republished(before: Shape, now: Shape): boolean {
  return (
    before.oid !== now.oid ||
    before.member !== now.member ||
    differ(before.schema, now.schema) ||
    differ(before.publication, now.publication)
  );
}

/** What is different now so that the rows must be read again; undefined when the stream told of all. */
export function altered(before: Shape, now: Shape): string | undefined {
  if (before.oid !== now.oid) return 'was replaced';
  if (republished(before, now)) return 'was published otherwise for a while';
  const others = Object.entries(now.numbers ?? {}).filter(([name, number]) =>
    differ(before.numbers?.[name], number),
  );
  if (others.length > 0)
    return `has another column under the name of ${others.map(([name]) => name).join(', ')}`;
  // A rewrite may have put something else into each row (ALTER TABLE … TYPE … USING).
  const rewritten = differ(before.file, now.file);
  const retyped = Object.entries(now.columns).filter(([name, type]) => {
    const known = before.columns[name];
    return known !== undefined && known !== type && (rewritten || !keepsValues(known, type));
  });
  if (retyped.length === 0) return undefined;
  return `has another type of column ${retyped.map(([name, type]) => `${name} (${type}, was ${before.columns[name] ?? ''})`).join(', ')}`;
}

/**
 * Which of its partitions came with rows, or took them along: a publication of the whole table says nothing
 * of that, nor of one that is truncated by itself. Undefined when none did.
 */
export function repartitioned(before: Shape, now: Shape): string | undefined {
  const [old, own] = [before.partitions, now.partitions];
  if (!old || !own) return undefined;
  if (Object.keys(old).some((number) => !(number in own))) return 'has lost a partition';
  for (const [number, { file, since, born }] of Object.entries(own)) {
    const known = old[number];
    if ((known?.since ?? born) !== since) return 'has a partition that was a table of its own';
    // The first file of a table has the table's own number.
    const first = known?.file ?? (file === 0 ? file : Number(number));
    if (first !== file) return 'has a partition that was truncated or rewritten';
  }
  return undefined;
}

function differ(before: number | undefined, now: number | undefined): boolean {
  return before !== undefined && now !== undefined && before !== now;
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
