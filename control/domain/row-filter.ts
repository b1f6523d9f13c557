// Which rows of the monolith belong to a capability, said once for SQL (copy, verify, fence) and once
// for the values of the stream. Numbers are compared as numbers, all else by its text.
import { quoteIdentifier, quoteLiteral } from '../../core/postgres/identifiers.ts';
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

/** The same for a value as the stream brings it: blank-padded, `t` and `f`, numbers with a scale. */
export function allows(values: readonly Literal[]): (text: string | null) => boolean {
  const texts = new Set(
    values.flatMap((one) =>
      typeof one === 'boolean' ? [one ? 't' : 'f'] : typeof one === 'string' ? [one] : [],
    ),
  );
  const numbers = new Set(values.filter((one) => typeof one === 'number'));
  const none = values.includes(null);
  return (text) =>
    text === null
      ? none
      : texts.has(text) ||
        texts.has(text.trimEnd()) ||
        (numbers.size > 0 && text !== '' && numbers.has(Number(text)));
}
