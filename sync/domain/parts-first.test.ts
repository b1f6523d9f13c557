import { expect, test } from '@jest/globals';
import type { Change, Relation } from './change.ts';
import type { Edge } from './mapping.ts';
import { partsFirst } from './parts-first.ts';

const relation = (table: string): Relation => ({
  ...{ schema: 'public', table },
  columns: [{ name: 'id', key: true }],
});
const edge = (table: string, target: string, driver: boolean): Edge => ({
  source: relation(table),
  target: { schema: 'public', table: target },
  key: [
    {
      ...{ source: 'id', sourceType: 'integer', target: 'id', type: 'integer', lens: undefined },
      ...{ needed: true, reference: false, wide: false, absent: null },
      map: (value) => value,
    },
  ],
  ...{ columns: [], groups: [], constants: [], filter: [], guard: [] },
  ...{ driver, part: false, optional: false, skipsTriggers: false },
});
const EDGES = [
  edge('p', 'x', true),
  edge('t', 'x', false),
  edge('u', 'x', false),
  edge('c', 'y', true),
];

const gone = (table: string, id: string): Change => ({
  kind: 'delete',
  relation: relation(table),
  before: [id],
});
const put = (table: string, id: string): Change => ({
  kind: 'insert',
  relation: relation(table),
  after: [id],
});

test('parts that a cascade takes along go before the row that takes them along', () => {
  const changes = [
    put('c', '1'),
    gone('p', '1'),
    gone('p', '2'),
    gone('t', '2'),
    gone('t', '1'),
    gone('u', '1'),
  ];
  expect(partsFirst(changes, 0, EDGES)).toEqual([0, 4, 5, 1, 3, 2]);
  expect(partsFirst(changes, 2, EDGES)).toEqual([3, 2, 4, 5]);
});

test('all else stays as it is', () => {
  expect(partsFirst([gone('t', '1'), gone('p', '1'), gone('t', '2')], 0, EDGES)).toBeUndefined();
  // What has come again since is another row, and its part goes later.
  const again = [gone('p', '1'), put('p', '1'), put('t', '1'), gone('t', '1')];
  expect(partsFirst(again, 0, EDGES)).toBeUndefined();
  expect(partsFirst([gone('p', '1'), gone('c', '1')], 0, [edge('p', 'x', true)])).toBeUndefined();
});
