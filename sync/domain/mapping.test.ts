import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { LiveTable } from '../../core/postgres/catalog.ts';
import { formatTable, parseTableName } from '../../core/postgres/identifiers.ts';
import { parentsFirst } from './mapping.ts';

const live = (label: string, references: readonly string[]): LiveTable => ({
  ...parseTableName(label),
  columns: new Map(),
  primaryKey: ['id'],
  uniqueKeys: [],
  replicaIdentity: 'default',
  references,
  foreignKeys: [],
  inbound: [],
  deferrableKey: false,
  partitioned: false,
  ...{ heirs: [], unlogged: false },
  takes: [],
  identityIndex: [],
  triggers: [],
  estimatedRows: 0,
});
const label = (index: number): string => `public.t${index}`;

test('parents come before their children, whatever the order they are given in', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9 }),
      fc.array(fc.tuple(fc.nat(8), fc.nat(8)), { maxLength: 20 }),
      fc.infiniteStream(fc.nat(1_000)),
      (count, pairs, order) => {
        // A child has the greater number, so there is no circle.
        const references = new Map<number, string[]>();
        for (const [a, b] of pairs)
          if (a > b) references.set(a, [...(references.get(a) ?? []), label(b)]);
        const all = Array.from({ length: count }, (_, index) => index);
        const schema = new Map(
          all.map((index) => [label(index), live(label(index), references.get(index) ?? [])]),
        );
        const given = all
          .map((index) => ({ index, rank: Number(order.next().value) }))
          .sort((a, b) => a.rank - b.rank)
          .map(({ index }) => parseTableName(label(index)));
        const sorted = parentsFirst([...given, ...given], schema).map(formatTable);
        expect([...sorted].sort()).toEqual(all.map(label).sort());
        for (const [child, parents] of references)
          for (const parent of parents)
            if (child < count && sorted.includes(parent))
              expect(sorted.indexOf(parent)).toBeLessThan(sorted.indexOf(label(child)));
      },
    ),
  );
});

test('tables in a circle keep the order they were given in', () => {
  const schema = new Map([
    ['public.a', live('public.a', ['public.b'])],
    ['public.b', live('public.b', ['public.a', 'public.elsewhere'])],
  ]);
  const sorted = parentsFirst(['a', 'b'].map(parseTableName), schema).map(formatTable);
  expect([...sorted].sort()).toEqual(['public.a', 'public.b']);
});
