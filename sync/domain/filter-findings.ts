// Whether what "where" names can be told alike by the stream, by SQL and by the fence.
import type { LiveSchema } from '../../core/postgres/catalog.ts';
import { formatTable, parseTableName } from '../../core/postgres/identifiers.ts';
import type { MappedTable } from '../../control/domain/mapped-table.ts';

const NUMBER = /^(smallint|integer|bigint|numeric)$/;
/** Types whose text depends on a session's settings: stream, SQL and fence might not agree. */
const DEPENDENT = /^(date|time|timestamp|interval|real|double|money|bytea|json|xml)|\[\]$/;

export function checkFilter(
  map: MappedTable,
  monolith: LiveSchema,
  report: (what: string, hint: string) => void,
): void {
  const live = monolith.get(formatTable(parseTableName(map.monolith[0] ?? '')));
  for (const { column, values } of map.where) {
    const type = live?.columns.get(column)?.type;
    const isNumber = NUMBER.test(type ?? '');
    if (type !== undefined && !isNumber && values.some((value) => typeof value === 'number'))
      report(
        `"where" names a number for ${column}, which is ${type}`,
        'Write the value as a text: in quotation marks.',
      );
    if (isNumber && values.some((value) => value !== null && typeof value !== 'number'))
      report(
        `"where" names a text, or true or false, for ${column}, which is ${type}`,
        'Write the value as a number: 1.50 and 1.5 are the same number, and different texts.',
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
