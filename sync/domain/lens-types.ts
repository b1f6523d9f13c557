// What a lens asks of the types of the columns that it joins.
import type { LiveSchema } from '../../core/postgres/catalog.ts';
import { formatTable, parseTableName } from '../../core/postgres/identifiers.ts';
import type { MappedTable } from '../../control/domain/mapped-table.ts';
import type { Finding } from './finding.ts';

/** Numbers, and texts, which may hold some. */
const COUNTABLE =
  /^(smallint|integer|bigint|numeric|real|double precision|text|character varying|bpchar)$/;

/** A scale shifts the point of a number: what is none would pass as it is, or be refused. */
export function checkScales(
  where: string,
  { links, monolith, service }: MappedTable,
  schemas: Readonly<Record<'monolith' | 'service', LiveSchema>>,
): Finding[] {
  const names = { monolith, service };
  return links.flatMap((link) => {
    if (link.lens.lens !== 'scale') return [];
    return (['monolith', 'service'] as const).flatMap((side): Finding[] => {
      const [place] = link[side];
      const name = names[side][place?.table ?? -1];
      const table = name && schemas[side].get(formatTable(parseTableName(name)));
      const column = table && table.columns.get(place?.column ?? '');
      if (!column || COUNTABLE.test(column.type)) return [];
      return [
        {
          ...{ severity: 'error', where },
          what: `a scale takes numbers, and ${column.name} of ${formatTable(table)} (${side}) is ${column.type}`,
          hint: 'Give the column a numeric type, or map it by a custom lens.',
        },
      ];
    });
  });
}
