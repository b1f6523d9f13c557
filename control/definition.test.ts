import { expect, test } from '@jest/globals';
import { resolveConnections } from './connections.ts';
import { defineMigration } from './define.ts';
import { concat, pack, scale, values } from './lenses.ts';
import type { MigrationInput } from './definition.ts';

const database = { capture: { env: 'A' }, applier: { env: 'B' }, coordinator: 'postgres://c@h/d' };
const GOOD = {
  monolith: { upstream: 'http://m', database },
  services: { catalog: { upstream: 'http://s', database } },
  capabilities: {
    catalog: {
      service: 'catalog',
      routes: ['/api/products/**', { path: '/api/search', methods: ['POST'], kind: 'read' }],
      tables: [
        {
          monolith: 'prd',
          service: ['product', 'words'],
          key: { id: { product: 'id', words: 'product_id' } },
          columns: {
            nm: 'name',
            dsc: 'words.body',
            prc: { lens: 'scale', to: 'cents', factor: 100 },
          },
          stays: { stk: { to: 'stock', default: 0 } },
          shared: { monolith: ['upd'], service: ['updated_at'] },
        },
      ],
    },
  },
} satisfies MigrationInput;

/** The mistakes of GOOD after `spoil` has been at it. */
function mistakes(spoil: (draft: Record<string, never>) => void): readonly string[] {
  const draft = structuredClone(GOOD) as unknown as Record<string, never>;
  spoil(draft);
  try {
    defineMigration(draft as unknown as MigrationInput);
    return [];
  } catch (error) {
    expect(error).toMatchObject({ code: 'CONFIG_INVALID' });
    return (error as { details: readonly string[] }).details;
  }
}

/* eslint-disable @typescript-eslint/no-unsafe-return, @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-assignment, @typescript-eslint/no-explicit-any */
const table = (draft: any): any => draft.capabilities.catalog.tables[0];
const merge = (draft: any, more: any): void => {
  draft.capabilities.catalog.tables[0] = {
    ...{ monolith: ['item', 'note'], service: 'thing', key: { id: 'id', 'note.item_id': 'id' } },
    columns: { nm: 'name', 'note.body': 'body' },
    ...more,
  };
};

test('a good definition gets its defaults', () => {
  const { capabilities } = defineMigration(GOOD);
  expect(capabilities['catalog']).toMatchObject({
    leaves: 'nothing',
    gates: { shadowSamples: 100, mismatchRate: 0 },
    canary: {
      ...{ rules: [], cohort: { cookie: 'banyan_cohort' } },
      ...{ writes: false, conflicts: 'owner-wins' },
    },
  });
  expect(mistakes(() => undefined)).toEqual([]);
});

test('every mistake is reported at once, each with its path', () => {
  const found = mistakes((draft: any) => {
    draft.monolth = {};
    draft.capabilities.catalog.service = 'katalog';
    table(draft).colums = {};
    table(draft).columns.prc.factor = 3;
    draft.capabilities.catalog.gates = { mismatchRate: 2 };
  });
  expect(found.map((line) => line.split(': ')[0]).sort()).toEqual([
    'capabilities.catalog.gates.mismatchRate',
    'capabilities.catalog.service',
    'capabilities.catalog.tables.0.columns.prc.factor',
    'capabilities.catalog.tables.0.colums',
    'monolth',
  ]);
});

test.each<[string, (draft: any) => void, RegExp]>([
  [
    'a service that is not there',
    (draft) => (draft.capabilities.catalog.service = 'other'),
    /catalog\.service: there is no service "other"/,
  ],
  [
    'a column in two classes',
    (draft) => (table(draft).columns.stk = 'x'),
    /stays\.stk: column stk is in "columns" already/,
  ],
  [
    'two columns into one',
    (draft) => (table(draft).columns.dsc = 'name'),
    /columns\.dsc: service column product\.name is fed by columns\.nm already/,
  ],
  [
    'a table of the service that is not named',
    (draft) => (table(draft).columns.dsc = 'text.body'),
    /columns\.dsc: "text\.body" names table text/,
  ],
  [
    'a key without a column for each table',
    (draft) => (table(draft).key.id = { product: 'id' }),
    /key\.id: names no column of words/,
  ],
  ['no key', (draft) => (table(draft).key = {}), /key: name the key columns/],
  [
    'words that cannot be taken back',
    (draft) =>
      (table(draft).columns.nm = { lens: 'values', to: 'name', values: { A: 'x', B: 'x' } }),
    /columns\.nm\.values: .*cannot be inverted/,
  ],
  [
    'a factor that is no number',
    (draft) => (table(draft).columns.prc = scale('cents', '100' as never)),
    /columns\.prc\.factor: must be a number: a power of ten/,
  ],
  [
    'no factor',
    (draft) => (table(draft).columns.prc = scale('cents', undefined as never)),
    /columns\.prc\.factor: must be a number: a power of ten/,
  ],
  [
    'a factor that is no power of ten',
    (draft) => (table(draft).columns.prc = scale('cents', -100)),
    /columns\.prc\.factor: must be a power of ten/,
  ],
  [
    'a column that is no name',
    (draft) => (table(draft).columns.prc = scale(100 as never, 100)),
    /columns\.prc\.to: .*expected string/,
  ],
  [
    'a lens of a name that there is not',
    (draft) => (table(draft).columns.prc = { lens: 'scal', to: 'cents', factor: 100 }),
    /columns\.prc\.lens: /,
  ],
  [
    'a value for no part that its lens does not know',
    (draft) => {
      table(draft).columns.sts = values('words.state', { A: 'a' });
      table(draft).defaults = { monolith: { sts: 'X' } };
    },
    /defaults\.monolith\.sts: "X" is not among A/,
  ],
  [
    'several tables on both sides',
    (draft) => (table(draft).monolith = ['prd', 'prd_txt']),
    /tables\.0: one of "monolith" and "service" is one table/,
  ],
  [
    'a merge whose later table has no key',
    (draft) => {
      merge(draft, { key: { id: 'id' } });
    },
    /key: names no column of note for id/,
  ],
  [
    'a merge that takes some rows only',
    (draft) => {
      merge(draft, { where: { kind: 'a' } });
    },
    /where: a merge takes all rows/,
  ],
  [
    'a column that a lens and a column claim',
    (draft) => {
      merge(draft, { lenses: [concat(['nm', 'x'], 'y', ' ')] });
    },
    /lenses\.nm: column nm is in "columns" already/,
  ],
  [
    'a lens over two tables',
    (draft) => {
      merge(draft, { lenses: [concat(['x', 'note.z'], 'y', ' ')] });
    },
    /lenses\.0\.monolith: the columns of a lens lie in one table/,
  ],
  [
    'a lens that joins nothing',
    (draft) => {
      merge(draft, { lenses: [concat(['x'], 'y', ' ')] });
    },
    /lenses\.0: joins two columns or more/,
  ],
  [
    'two keys that are the same',
    (draft) => {
      merge(draft, { lenses: [pack({ x: 'k', z: 'k' }, 'y')] });
    },
    /lenses\.0\.keys: two columns have the same key/,
  ],
  [
    'a filter that rows of the service have no value for',
    (draft) => (table(draft).where = { kind: ['a', 'b'] }),
    /where\.kind: has several values/,
  ],
  [
    'a filter that rows of the service do not pass',
    (draft) => {
      table(draft).where = { kind: ['a', 'b'] };
      table(draft).defaults = { monolith: { kind: 'c' } };
    },
    /where\.kind: rows that the service inserts have "c" there/,
  ],
  [
    'a table in two capabilities',
    (draft) => (draft.capabilities.twin = { ...draft.capabilities.catalog, routes: ['/twin'] }),
    /twin\.tables\.0: table public\.prd of the monolith belongs to capability "catalog" already/,
  ],
  [
    'a route in two capabilities',
    (draft) => (draft.capabilities.twin = { service: 'catalog', routes: ['/api/products/**'] }),
    /twin\.routes\.0: .*claimed by capability "catalog" already/,
  ],
  [
    'tables without a database',
    (draft) => delete draft.services.catalog.database,
    /services\.catalog\.database: needed/,
  ],
  [
    'a copy without tables',
    (draft) => {
      draft.capabilities.catalog.tables = [];
      draft.capabilities.catalog.leaves = 'copy';
    },
    /leaves: a capability without tables/,
  ],
  [
    'a policy for conflicts that there cannot be',
    (draft) => (draft.capabilities.catalog.canary = { conflicts: 'last-writer-wins' }),
    /canary\.conflicts: there are none without `canary\.writes: true`/,
  ],
  [
    'a policy for conflicts without tables',
    (draft) => {
      draft.capabilities.catalog.tables = [];
      draft.capabilities.catalog.canary = { writes: true, conflicts: () => 'owner' };
    },
    /canary\.conflicts: a capability without tables has no conflicts/,
  ],
  [
    'a policy that is none',
    (draft) => (draft.capabilities.catalog.canary = { writes: true, conflicts: 'service-wins' }),
    /canary\.conflicts: .*owner-wins/,
  ],
  [
    'a write canary whose changes come in no one order',
    (draft) => {
      draft.capabilities.catalog.canary = { writes: true };
      draft.changeLog = { kafka: { brokers: ['k:9092'], prefix: 'shop', layout: 'table' } };
    },
    /canary\.writes: .*layout 'changes'/,
  ],
  [
    'a connector without brokers',
    (draft) => (draft.capabilities.catalog.source = { debezium: { prefix: 'shop' } }),
    /source\.debezium: its topics are read from the brokers that changeLog\.kafka names/,
  ],
  [
    'a topic of a table that is not mapped',
    (draft) => {
      draft.capabilities.catalog.source = { debezium: { prefix: 'shop', topics: { other: 'x' } } };
      draft.changeLog = { kafka: { brokers: ['k:9092'], prefix: 'own' } };
    },
    /source\.debezium\.topics\.other: is no table of the monolith/,
  ],
  [
    'a write canary by a connector',
    (draft) => {
      draft.capabilities.catalog.source = { debezium: { prefix: 'shop' } };
      draft.capabilities.catalog.canary = { writes: true };
      draft.changeLog = { kafka: { brokers: ['k:9092'], prefix: 'own' } };
    },
    /canary\.writes: .*whole transactions in one order, which a connector/,
  ],
  [
    'a mode that no connector has',
    (draft) => {
      draft.capabilities.catalog.source = { debezium: { prefix: 'a', modes: { decimals: 'x' } } };
    },
    /source\.debezium\.modes\.decimals: .*precise/,
  ],
  [
    'a rule that is no regular expression',
    (draft) =>
      (draft.capabilities.catalog.canary = {
        rules: [{ header: 'a', matches: '(', to: 'service' }],
      }),
    /rules\.0\.matches: is not a regular expression/,
  ],
  [
    'a value that fits neither form of a setting',
    (draft) => (draft.facade = { accessLog: true }),
    /facade\.accessLog: .*expected false; or .*expected object/,
  ],
  [
    'an unknown key in one form of a setting',
    (draft) => (draft.facade = { accessLog: { sampel: 1 } }),
    /facade\.accessLog\.sampel: unknown key, did you mean "sample"\?/,
  ],
  [
    'a misspelt key',
    (draft) => (draft.capabilities.catalog.rollout = { bakeMS: 5 }),
    /catalog\.rollout\.bakeMS: unknown key, did you mean "bakeMs"\?/,
  ],
  [
    'a misspelt key in an element of a list',
    (draft) => (draft.capabilities.catalog.canary = { rules: [{ heder: 'a', matches: 'b' }] }),
    /canary\.rules\.0\.heder: unknown key, did you mean "header"\?/,
  ],
  [
    'a key that is like none',
    (draft) => (draft.facade = { colour: 1 }),
    /^facade\.colour: unknown key$/m,
  ],
  [
    'a rollout that does not rise from step to step',
    (draft) => (draft.capabilities.catalog.rollout = { steps: [5, 50, 25] }),
    /catalog\.rollout\.steps: must rise from step to step/,
  ],
  [
    'a share finer than the state keeps it',
    (draft) => (draft.capabilities.catalog.rollout = { steps: [0.001, 0.07, 50] }),
    /catalog\.rollout\.steps\.0: is finer than 0\.01/,
  ],
  [
    'a secret of a webhook that stands in the definition',
    (draft) =>
      (draft.capabilities.catalog.rollout = { webhooks: [{ url: 'https://h/', secret: 'hush' }] }),
    /catalog\.rollout\.webhooks\.0\.secret: .*expected object/,
  ],
])('%s is a mistake', (_, spoil, expected) => {
  expect(mistakes(spoil).join('\n')).toMatch(expected);
});

test('what a webhook lacks is named with its place; an edge needs none of it', () => {
  const webhooks = [{ url: { env: 'HOOK' }, secret: { env: 'HOOK_SECRET' } }];
  const migration = defineMigration({
    monolith: { upstream: 'http://m' },
    services: { catalog: { upstream: 'http://s' } },
    capabilities: { catalog: { service: 'catalog', routes: ['/a'], rollout: { webhooks } } },
  });
  expect(() => resolveConnections(migration, { HOOK: 'ftp://h/hush' })).toThrow(
    /webhooks\.0\.secret: environment variable HOOK_SECRET is not set\n.*webhooks\.0\.url: not a URL|webhooks\.0\.url: not a URL.*\n.*HOOK_SECRET is not set/,
  );
  expect(resolveConnections(migration, {}, 'edge').webhooks).toBeUndefined();
  const withUser = (): unknown =>
    resolveConnections(migration, { HOOK: 'https://u:hush@h/', HOOK_SECRET: 'x' });
  expect(withUser).toThrow(/webhooks\.0\.url: contains a user or password/);
  expect(withUser).not.toThrow(/hush/);
  const found = resolveConnections(migration, { HOOK: 'https://h/', HOOK_SECRET: 'hush' });
  expect(found.webhooks?.['catalog']?.map(({ url, secret }) => [url, secret()])).toEqual([
    ['https://h/', 'hush'],
  ]);
});

test('missing and unreadable connections are all named at once, never shown', () => {
  const failed = (): unknown =>
    resolveConnections(defineMigration(GOOD), { B: 'mysql://u:hush@h/d' });
  expect(failed).toThrow(/monolith\.database\.capture: environment variable A is not set/);
  expect(failed).toThrow(/services\.catalog\.database\.applier: not a URL of the form postgres/);
  expect(failed).not.toThrow(/hush/);
});
