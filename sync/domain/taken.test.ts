// Which foreign keys of a target take rows along that the source may not tell of.
import { expect, test } from '@jest/globals';
import type { LiveForeignKey, LiveTable, Taking } from '../../core/postgres/catalog.ts';
import { parseTableName } from '../../core/postgres/identifiers.ts';
import type { ColumnPair, Edge } from './mapping.ts';
import { takenOfAll } from './taken.ts';

const pair = (source: string, target: string): ColumnPair => ({
  ...{ source, target, type: 'integer', sourceType: 'integer', map: (value) => value },
  ...{ needed: false, reference: false, wide: false, absent: null },
});
const edge = (source: string, target: string, columns: readonly ColumnPair[] = []): Edge => ({
  ...{ source: parseTableName(source), target: parseTableName(target), key: [pair('no', 'id')] },
  ...{ columns, groups: [], constants: [], filter: [], guard: [] },
  ...{ driver: true, part: false, optional: false, skipsTriggers: false },
});
const live = (
  label: string,
  { takes = [], foreignKeys = [] }: Partial<Pick<LiveTable, 'takes' | 'foreignKeys'>>,
): [string, LiveTable] => [
  `public.${label}`,
  {
    ...parseTableName(label),
    ...{ columns: new Map(), primaryKey: ['id'], uniqueKeys: [], replicaIdentity: 'default' },
    ...{
      references: [],
      inbound: [],
      deferrableKey: false,
      partitioned: false,
      heirs: [],
      unlogged: false,
    },
    ...{ identityIndex: [], triggers: [], estimatedRows: 0, takes, foreignKeys },
  },
];
const taking = (child: string, parent: string, column: string): Taking => ({
  ...{ child: parseTableName(child), parent: parseTableName(parent), table: `public.${child}` },
  ...{ columns: [column], references: ['id'], cascades: true },
});
const foreignKey = (table: string, column: string, deferrable: boolean): LiveForeignKey => ({
  ...{ table: `public.${table}`, columns: [column], references: ['no'], deferrable },
});

const EDGES = [
  edge('m_node', 'node'),
  edge('m_leaf', 'leaf', [pair('at', 'node_id')]),
  edge('m_vein', 'vein', [pair('at', 'leaf_id')]),
];
const LINKS = [taking('leaf', 'node', 'node_id'), taking('vein', 'leaf', 'leaf_id')];
const TARGET = new Map([live('node', { takes: LINKS }), live('leaf', { takes: LINKS.slice(1) })]);

/** The target tables of which rows are lost unless they are read again, by how the source looks at its keys. */
function lossy(leaf: LiveForeignKey[], vein: LiveForeignKey[], edges = EDGES): string[] {
  const source = new Map([
    live('m_leaf', { foreignKeys: leaf }),
    live('m_vein', { foreignKeys: vein }),
  ]);
  return [...takenOfAll(edges, source, TARGET)]
    .filter(([, { links }]) => links.length > 0)
    .map(([label]) => label);
}

test('a source with the same foreign keys, which it looks at at once, tells of all that goes', () => {
  const leaf = foreignKey('m_node', 'at', false);
  const vein = foreignKey('m_leaf', 'at', false);
  expect(lossy([leaf], [vein])).toEqual([]);
  expect(lossy([], [vein])).toEqual(['public.node']);
  expect(lossy([leaf], [])).toEqual(['public.node', 'public.leaf']);
  expect(lossy([leaf], [foreignKey('m_leaf', 'at', true)])).toEqual(['public.node', 'public.leaf']);
  // Of another column, or elsewhere.
  expect(lossy([foreignKey('m_node', 'by', false)], [vein])).toEqual(['public.node']);
  expect(lossy([foreignKey('m_vein', 'at', false)], [vein])).toEqual(['public.node']);
});

test('rows that one row of the source drives go together, and what is not mapped loses nothing of ours', () => {
  const together = [edge('m_node', 'node'), edge('m_node', 'leaf')];
  const links = new Map([live('node', { takes: [taking('leaf', 'node', 'id')] })]);
  expect(takenOfAll(together, new Map(), links).get('public.node')?.links).toEqual([]);
  expect(lossy([], [], EDGES.slice(0, 1))).toEqual([]);
  // Through a table that is not mapped to one that is.
  expect(lossy([], [], [EDGES[0], EDGES[2]] as Edge[])).toEqual(['public.node']);
});
