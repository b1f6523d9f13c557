// Which rows of the monolith belong to a capability, said once for SQL (copy, verify, fence) and once
// for the values of the stream. Numbers are compared as numbers, all else by its text.
import { quoteIdentifier, quoteLiteral } from '../../core/postgres/identifiers.ts';
import { withoutBlanks } from '../../core/postgres/text-forms.ts';
import type { Literal, RowFilter } from './mapped-table.ts';

/** True or false, never null, for a row `prefix` of the table; undefined where all rows belong. */
export function belongsSql(filter: RowFilter, prefix: string): string | undefined {
  if (filter.length === 0) return undefined;
  const conditions = filter.map(({ column, values }) => {
    const name = `${prefix}.${quoteIdentifier(column)}`;
    const texts = values.filter((value) => value !== null && typeof value !== 'number');
    const numbers = values.filter((value) => typeof value === 'number');
    const any = [
      ...(values.includes(null) ? [`${name} IS NULL`] : []),
      ...(texts.length > 0
        ? [`${name}::text IN (${texts.map((one) => quoteLiteral(String(one))).join(', ')})`]
        : []),
      ...(numbers.length > 0 ? [`${name} IN (${numbers.map(String).join(', ')})`] : []),
    ];
    return `coalesce(${any.join(' OR ')}, false)`;
  });
  return `(${conditions.join(' AND ')})`;
}

/** The same for a value of a column of this type as the stream brings it: blank-padded, `t` and `f`, numbers with a scale. */
export function allows(values: readonly Literal[], type: string): (text: string | null) => boolean {
  const wanted = new Set(values.flatMap((one) => (one === null ? [] : String(one))));
  const none = values.includes(null);
  return (text) => (text === null ? none : wanted.has(plain(text, type)));
}

const NUMBER = /^(smallint|integer|bigint|numeric)$/;

/** The text that a literal has. */
function plain(text: string, type: string): string {
  if (type === 'bpchar') return withoutBlanks(text);
  if (type === 'boolean') return text === 't' ? 'true' : text === 'f' ? 'false' : text;
  return NUMBER.test(type) && text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}
