// What may be copied side by side.
import { expect, test } from '@jest/globals';
import { parseTableName } from '../../core/postgres/identifiers.ts';
import type { LiveTable } from '../../core/postgres/catalog.ts';
import { copyWaits } from './copy-order.ts';
import type { Edge } from './mapping.ts';

function waits(
  tables: Readonly<Record<string, readonly string[]>>,
  references: Readonly<Record<string, readonly string[]>>,
): Record<string, readonly string[]> {
  const edges = Object.entries(tables).flatMap(([source, targets]) =>
    targets.map((target): Edge => ({
      ...{ source: parseTableName(source), target: parseTableName(target) },
      ...{ key: [], columns: [], groups: [], constants: [], driver: true },
      ...{ part: false, optional: false, filter: [], guard: [], skipsTriggers: false },
    })),
  );
  const schema = new Map(
    edges.map(({ target }) => [
      `public.${target.table}`,
      {
        ...target,
        references: (references[target.table] ?? []).map((one) => `public.${one}`),
      } as unknown as LiveTable,
    ]),
  );
  const order = Object.keys(tables).map((label) => `public.${label}`);
  return Object.fromEntries(
    [...copyWaits(order, edges, schema)].map(([label, before]) => [label.slice(7), before]),
  );
}

test('a table waits for its parents, whichever of its targets points to them, and for nobody else', () => {
  expect(
    waits(
      { cat: ['category'], prd: ['product', 'text'], cust: ['customer'], ord: ['orders'] },
      { product: ['category'], text: ['product'], orders: ['customer', 'product'] },
    ),
  ).toEqual({ cat: [], prd: ['public.cat'], cust: [], ord: ['public.prd', 'public.cust'] });
});

test('tables that feed the same target, or point to each other, go one after the other', () => {
  expect(waits({ a: ['one'], b: ['one'] }, {})).toEqual({ a: [], b: ['public.a'] });
  expect(waits({ a: ['one'], b: ['two'] }, { one: ['two'], two: ['one'] })).toEqual({
    a: [],
    b: ['public.a'],
  });
  expect(waits({ a: ['one'], b: ['two'] }, { one: ['two'] })).toEqual({ a: [], b: ['public.a'] });
});
