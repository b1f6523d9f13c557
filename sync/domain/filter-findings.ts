// Whether what "where" names can be told alike by the stream, by SQL and by the fence.
import type { LiveSchema } from '../../core/postgres/catalog.ts';
import { formatTable, parseTableName } from '../../core/postgres/identifiers.ts';
import type { Literal, MappedTable } from '../../control/domain/mapped-table.ts';

const NUMBER = /^(smallint|integer|bigint|numeric)$/;
/** Types that have one text for each number. */
const WHOLE = /^(smallint|integer|bigint|numeric\(\d+,0\))$/;
const WHOLE_TEXT = /^(0|-?[1-9]\d*)$/;
/** Types whose text depends on a session's settings: stream, SQL and fence might not agree. */
const DEPENDENT = /^(date|time|timestamp|interval|real|double|money|bytea|json|xml)|\[\]$/;

export function checkFilter(
  map: MappedTable,
  monolith: LiveSchema,
  report: (what: string, hint: string) => void,
): void {
  const live = monolith.get(formatTable(parseTableName(map.monolith[0] ?? '')));
  for (const { column, values } of map.where) {
    const { type, fullType = '' } = live?.columns.get(column) ?? {};
    const isNumber = NUMBER.test(type ?? '');
    const isWhole = WHOLE.test(fullType);
    if (type !== undefined && !isNumber && values.some((value) => typeof value === 'number'))
      report(
        `"where" names a number for ${column}, which is ${type}`,
        'Write the value as a text: in quotation marks.',
      );
    const isOne = (value: Literal): boolean =>
      typeof value === 'number' || (isWhole && WHOLE_TEXT.test(String(value)));
    if (isNumber && values.some((value) => value !== null && !isOne(value)))
      report(
        `"where" names a text, or true or false, for ${column}, which is ${fullType}`,
        isWhole
          ? 'Write the value as a number, or as the text that the server writes of it: 7, and not 07 or 7.0.'
          : 'Write the value as a number: 1.50 and 1.5 are the same number, and different texts.',
      );
    const inexact = isNumber ? values.find(isInexact) : undefined;
    if (inexact !== undefined)
      report(
        `"where" names ${String(inexact)} for ${column}: a number that large, or that small, may be another one than is written`,
        isWhole
          ? 'Write it as a text: in quotation marks, digit by digit.'
          : 'Give the column a type of whole numbers, such as bigint or numeric(38,0), and write the value as a text: in quotation marks, digit by digit.',
      );
    const kind = type === 'boolean' ? 'boolean' : 'string';
    const strange = values.some(
      (value) => typeof value !== 'number' && value !== null && typeof value !== kind,
    );
    if (type !== undefined && strange && !isNumber)
      report(
        `"where" names ${type === 'boolean' ? 'a text' : 'true or false'} for ${column}, which is ${type}`,
        type === 'boolean' ? 'Write true or false.' : 'Write the value as the text that it is.',
      );
    if (type === undefined || !DEPENDENT.test(type)) continue;
    if (values.every((value) => value === null)) continue;
    report(
      `"where" looks at ${column}, whose text (${type}) depends on a session's settings`,
      'Use a text, number, boolean, uuid or enum column, or NULL.',
    );
  }
}

/** What a number of JavaScript does not hold as it was written, or has no plain text for. */
function isInexact(value: Literal): boolean {
  return (
    typeof value === 'number' &&
    ((Number.isInteger(value) && !Number.isSafeInteger(value)) || String(value).includes('e'))
  );
}
