// Rows that "where" leaves to the monolith share their table's keys with those of the capability: what
// numbers the two must never meet.
import type { LiveSchema } from '../../core/postgres/catalog.ts';
import { apart, mayCollide, numberingOf } from '../../control/domain/key-space.ts';
import type { MappedTable } from '../../control/domain/mapped-table.ts';
import type { Finding } from './finding.ts';

/** Rows that "where" leaves to the monolith get their keys there for ever, and those of the capability at the service. */
export function checkKeySpace(
  where: string,
  map: MappedTable,
  schemas: Readonly<Record<'monolith' | 'service', LiveSchema>>,
): Finding[] {
  const numbering = map.where.length > 0 ? numberingOf(map, schemas) : undefined;
  const isApart = map.key.some(({ monolith: { table, column } }) =>
    map.where.some((rule) => table === 0 && rule.column === column),
  );
  // Where the key itself says which rows belong, the two never meet.
  if (!numbering || isApart) return [];
  const { monolith, service } = numbering;
  if (monolith && service)
    return mayCollide(monolith, service)
      ? [
          {
            ...{ severity: 'error', where },
            what: `rows that "where" leaves to the monolith are numbered by ${monolith.name}, those of the service by ${service.name}: after a cutover both give the same number`,
            hint: apart(monolith, service),
          },
        ]
      : [];
  return [
    {
      ...{ severity: 'warning', where },
      what: `one side alone numbers rows by a sequence (${(monolith ?? service)?.name ?? ''}), and "where" leaves rows to the monolith: nothing shows that the two never give the same key`,
      hint: 'Let the other side make keys that no such number is, or give it a sequence with a step in common and another rest.',
    },
  ];
}
