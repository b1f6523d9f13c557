// Two sequences that number rows of one table, one on either side: whether they can ever give the same
// number twice, and what keeps them from it.
import type { LiveSchema, LiveTable, Sequence } from '../../core/postgres/catalog.ts';
import { formatTable, parseTableName } from '../../core/postgres/identifiers.ts';
import type { MappedTable } from './mapped-table.ts';

export interface Numbering {
  readonly monolith: Sequence | undefined;
  readonly service: Sequence | undefined;
}

/** The sequences behind the key that the drivers hand out; undefined where neither side has one. */
export function numberingOf(
  { key, monolith, service }: MappedTable,
  schemas: Readonly<Record<'monolith' | 'service', LiveSchema>>,
): Numbering | undefined {
  const table = (side: 'monolith' | 'service', name = ''): LiveTable | undefined =>
    schemas[side].get(formatTable(parseTableName(name)));
  for (const link of key) {
    if (link.monolith.table > 0 || link.service.table > 0) continue;
    const mine = table('monolith', monolith[0])?.columns.get(link.monolith.column)?.sequence;
    const theirs = table('service', service[0])?.columns.get(link.service.column)?.sequence;
    if (mine || theirs) return { monolith: mine ?? undefined, service: theirs ?? undefined };
  }
  return undefined;
}

const NUMBERS = new Set(['smallint', 'integer', 'bigint', 'numeric']);

/**
 * Whether rows are numbered, on both sides, and at least one side's numbers come from nowhere that could be looked
 * at. What points to another row is numbered there; a key of several columns by more than one thing.
 */
export function unproven(
  map: MappedTable,
  schemas: Readonly<Record<'monolith' | 'service', LiveSchema>>,
): boolean {
  const [link, ...more] = map.key;
  if (!link || more.length > 0) return false;
  const columnAt = (side: 'monolith' | 'service') =>
    schemas[side]
      .get(formatTable(parseTableName(map[side][link[side].table] ?? '')))
      ?.columns.get(link[side].column);
  const columns = [columnAt('monolith'), columnAt('service')];
  return (
    columns.every((column) => column && NUMBERS.has(column.type) && !column.reference) &&
    columns.some((column) => column?.sequence === null)
  );
}

/** Numbers go up in steps: two sequences never meet where their rests by a step of both differ. */
export function mayCollide(a: Sequence, b: Sequence): boolean {
  if (a.last === null || b.last === null) return true;
  return (a.last - b.last) % gcd(a.increment, b.increment) === 0n;
}

/** SQL that has the two hand out every other number, or every other block of them. */
export function apart(monolith: Sequence, service: Sequence): string {
  const [mine, theirs] = [size(monolith.increment), size(service.increment)];
  const block = (mine * theirs) / gcd(mine, theirs);
  const step = 2n * block;
  const [even, odd] = block === 1n ? ['Even numbers', 'Odd ones'] : ['One half', 'The other'];
  return [
    `${even} at the monolith: ALTER SEQUENCE ${monolith.name} INCREMENT BY ${step}; SELECT setval('${monolith.name}', (last_value / ${step} + 1) * ${step}) FROM ${monolith.name}.`,
    `${odd} at the service: ALTER SEQUENCE ${service.name} INCREMENT BY ${step}; SELECT setval('${service.name}', (greatest(last_value, ${monolith.last ?? 'the monolith’s'}) / ${step} + 1) * ${step} + ${block}) FROM ${service.name}.`,
    ...(block === 1n
      ? []
      : [
          `An application that takes ${block} numbers at a time goes on to do so, and must accept the step of ${step}.`,
        ]),
  ].join(' ');
}

function size(increment: bigint): bigint {
  return increment < 0n ? -increment : increment;
}

function gcd(a: bigint, b: bigint): bigint {
  const [x, y] = [a < 0n ? -a : a, b < 0n ? -b : b];
  return y === 0n ? x : gcd(y, x % y);
}
