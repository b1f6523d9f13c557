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
    ...{ fixed: false, unequal: false },
    constant: null,
    generated: false,
    sequence: null,
    reference: false,
  };
  const columns = new Map(['id', 'a'].map((name) => [name, { name, ...column }]));
  const rest = {
    ...{
      uniqueKeys: [],
      references: [],
      foreignKeys: [],
      inbound: [],
      identityIndex: [],
      triggers: [],
    },
    ...{
      deferrableKey: false,
      partitioned: false,
      unlogged: false,
      heirs: [],
      takes: [],
      estimatedRows: 0,
      schema: 'public',
    },
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

/** One whose columns are not called as the mapping says. */
const spelt = (first: string, keys: Partial<LiveTable> = {}): Partial<LiveTable> => {
  const [, { columns }] = live('m', {});
  const renamed = [...columns.values()].map((one, index) =>
    index === 0 ? { ...one, name: first } : one,
  );
  return { columns: new Map(renamed.map((one) => [one.name, one])), primaryKey: [first], ...keys };
};

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
  ['no key at all', { primaryKey: [] }, /no primary key$/],
  [
    'a key that is looked at at the end',
    { primaryKey: [], deferrableKey: true },
    /but a DEFERRABLE/,
  ],
  ['rows in partitions', { partitioned: true }, /public\.m \(monolith\) is partitioned/],
  ['rows that a crash takes', { unlogged: true }, /public\.m \(monolith\) is UNLOGGED/],
  ['a table that inherits from it', { heirs: ['public.old'] }, /public\.old inherits from/],
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

test('a key column that is spelt otherwise is one finding, with the right name', () => {
  if (!catalog) throw new Error('no capability');
  const all = checkMapping(
    ...(['catalog', catalog] as const),
    new Map([live('m', spelt('Id'))]),
    new Map([live('t', {})]),
  ).filter(({ severity }) => severity === 'error');
  expect(all.map(({ what, hint }) => `${what} [${hint}]`)).toEqual([
    'there is no column id in public.m [Write Id: names are as the catalog has them, without quotes. Its columns are: Id, a.]',
  ]);
});

test('a key that is not unique comes with what is, and with a statement', () => {
  if (!catalog) throw new Error('no capability');
  const [one] = checkMapping(
    ...(['catalog', catalog] as const),
    new Map([live('m', {})]),
    new Map([live('t', { primaryKey: ['a'] })]),
  );
  expect(one?.hint).toBe(
    'Its primary key is (a): map that under key, or make the other one unique: ALTER TABLE "public"."t" ADD UNIQUE ("id").',
  );
});

/** The same with columns of other types. */
const typed = (table: string, types: Readonly<Record<string, string>>): [string, LiveTable] => {
  const [label, one] = live(table, {});
  const columns = [...one.columns.values()].map((column) => {
    const type = types[column.name] ?? column.type;
    return { ...column, type: type.replace(/\(.*/, ''), fullType: type };
  });
  return [label, { ...one, columns: new Map(columns.map((column) => [column.name, column])) }];
};

test.each<
  [values: (string | number | boolean | null)[], type: string, finding: string | undefined]
>([
  [['1.50', 2], 'numeric', '"where" names a text, or true or false, for a, which is numeric'],
  [['01'], 'bigint', '"where" names a text, or true or false, for a, which is bigint'],
  [[true], 'bigint', '"where" names a text, or true or false, for a, which is bigint'],
  [['-0'], 'integer', '"where" names a text, or true or false, for a, which is integer'],
  [['1', 2, '123456789012345678', '-7', '0', null], 'bigint', undefined],
  [['12345678901234567890'], 'numeric(20,0)', undefined],
  [['1'], 'numeric(20,2)', '"where" names a text, or true or false, for a, which is numeric(20,2)'],
  // As 123456789012345678 is read.
  [[123456789012345680], 'bigint', expect.stringContaining('may be another one') as never],
  [[1e-7], 'numeric', expect.stringContaining('may be another one') as never],
  [[1.5, null], 'numeric', undefined],
  [['1.50', null], 'text', undefined],
  [[1], 'text', '"where" names a number for a, which is text'],
  [['true'], 'boolean', '"where" names a text for a, which is boolean'],
])('a rule for %j of a column that is %s is found, or fits', (values, type, finding) => {
  if (!catalog) throw new Error('no capability');
  const tables = catalog.tables.map((table) => ({ ...table, where: { a: values } }));
  const found = checkMapping(
    ...(['catalog', { ...catalog, tables }] as const),
    new Map([typed('m', { a: type })]),
    new Map([typed('t', { a: type })]),
  );
  expect(found.map(({ what }) => what).find((what) => what.includes('"where"'))).toEqual(finding);
});

test.each([
  ['character varying', 'uuid', true],
  ['text', 'bigint', true],
  ['bpchar', 'text', false],
  ['integer', 'bigint', false],
  ['bigint', 'numeric', false],
  ['uuid', 'uuid', false],
])('a key that is %s here and %s there is a risk: %s', (monolith, service, isOne) => {
  if (!catalog) throw new Error('no capability');
  const found = checkMapping(
    ...(['catalog', catalog] as const),
    new Map([typed('m', { id: monolith })]),
    new Map([typed('t', { id: service })]),
  ).filter(({ what }) => what.includes('of different kinds'));
  expect(found.map(({ severity, what }) => [severity, what.slice(0, what.indexOf(':'))])).toEqual(
    isOne ? [['warning', `key id (${monolith}) and id (${service}) are of different kinds`]] : [],
  );
});

test.each([
  [
    'integer',
    'numeric(10,2)',
    0.001,
    ['a (integer) → a (numeric(10,2)): it is rounded to 2 digits'],
  ],
  ['numeric(12,2)', 'bigint', 100, []],
  ['text', 'bigint', 100, [expect.stringMatching(/^a \(text\) is scaled: .* comes back as/)]],
])('a scale of %s to %s by %f tells what is lost unseen', (monolith, service, factor, told) => {
  if (!catalog) throw new Error('no capability');
  const tables = catalog.tables.map((table) => ({
    ...table,
    columns: { a: { to: 'a', lens: 'scale' as const, factor } },
  }));
  const found = checkMapping(
    ...(['catalog', { ...catalog, tables }] as const),
    new Map([typed('m', { a: monolith })]),
    new Map([typed('t', { a: service })]),
  );
  expect(found.map(({ what }) => what).filter((what) => /^a \(/.test(what))).toEqual(told);
});
