import { expect, test } from '@jest/globals';
import type { LiveTable } from '../../core/postgres/catalog.ts';
import { defineMigration } from '../../control/define.ts';
import { checkMapping } from './findings.ts';

function live(table: string, keys: Partial<LiveTable>): [string, LiveTable] {
  const column = {
    type: 'integer',
    fullType: 'integer',
    notNull: true,
    hasDefault: false,
    constant: null,
    generated: false,
    sequence: null,
    reference: false,
  };
  const columns = new Map(['id', 'a'].map((name) => [name, { name, ...column }]));
  const rest = {
    ...{ uniqueKeys: [], references: [], inbound: [], identityIndex: [], triggers: [] },
    ...{ estimatedRows: 0, schema: 'public' },
  };
  return [
    `public.${table}`,
    { ...rest, table, columns, primaryKey: ['id'], replicaIdentity: 'default', ...keys },
  ];
}

const { catalog } = defineMigration({
  monolith: {
    upstream: 'http://127.0.0.1:1',
    database: { capture: 'a', applier: 'b', coordinator: 'c' },
  },
  services: {
    s: {
      upstream: 'http://127.0.0.1:2',
      database: { capture: 'a', applier: 'b', coordinator: 'c' },
    },
  },
  capabilities: {
    catalog: {
      service: 's',
      routes: ['/a'],
      tables: [{ monolith: 'm', service: 't', key: { id: 'id' }, columns: { a: 'a' } }],
    },
  },
}).capabilities;

const found = (keys: Partial<LiveTable>): string[] =>
  catalog === undefined
    ? []
    : checkMapping('catalog', catalog, new Map([live('m', keys)]), new Map([live('t', {})])).map(
        (one) => one.what,
      );

test('a table with a primary key has nothing to find', () => {
  expect(found({})).toEqual([]);
});

test.each<[string, Partial<LiveTable>, RegExp]>([
  ['no key at all', { primaryKey: [] }, /no primary key/],
  [
    'a unique index only: published, it would take no update',
    { primaryKey: [], uniqueKeys: [['id']] },
    /replica identity/,
  ],
  ['another key than the mapping’s', { primaryKey: ['a'] }, /not unique/],
  ['an identity of nothing', { replicaIdentity: 'nothing' }, /replica identity/],
])('finds %s', (_what, keys, message) => {
  expect(found(keys).join('\n')).toMatch(message);
});

test('an index as the identity must hold the key', () => {
  const indexed = { replicaIdentity: 'index', uniqueKeys: [['a']] } as const;
  expect(found({ ...indexed, identityIndex: ['a'] }).join('\n')).toMatch(/replica identity/);
  expect(found({ ...indexed, identityIndex: ['id', 'a'] }).join('\n')).not.toMatch(/identity/);
});

test.each<[string, Partial<LiveTable>, RegExp]>([
  ['a trigger', { triggers: [{ name: 'audit', before: true, source: null }] }, /trigger audit/],
  [
    'a table that points here and is not mapped',
    { inbound: ['public.line.line_m_fkey'] },
    /line_m_fkey/,
  ],
  ['a unique key that the service lacks', { uniqueKeys: [['a']] }, /unique \(a\)/],
])('warns of %s', (_what, keys, message) => {
  expect(found(keys).join('\n')).toMatch(message);
});

test('a unique index does with full replica identity', () => {
  expect(found({ primaryKey: [], uniqueKeys: [['id']], replicaIdentity: 'full' })).toEqual([]);
});
