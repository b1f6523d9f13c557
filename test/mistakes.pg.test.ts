// Mistakes in the definition, found before anything starts: one clear error with a hint each.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startEmbedded, type EmbeddedPostgres } from '../core/postgres/embedded.ts';
import { banyan, startBanyan, writeConfig } from './support/command.ts';
import { cases } from './support/long.ts';
import { createPair, type Pair } from './support/pair.ts';

let pair: Pair;
/** A database in which its role may make nothing. */
let bare: string;
let replica: EmbeddedPostgres;

beforeAll(async () => {
  pair = await createPair();
  bare = pair.connections.monolith.database?.applier ?? '';
  replica = await startEmbedded({
    like: process.env['BANYAN_TEST_LIKE'],
    ...{ fsync: false, settings: ['wal_level=replica'] },
  });
});

afterAll(async () => {
  await replica.stop();
  await pair.close();
});

type Draft = Record<string, unknown> & {
  monolith: { database: Record<string, string> };
  capabilities: { catalog: { tables: Record<string, unknown>[]; leaves: string } };
};

/** A right definition, to be spoilt. */
function right(): Draft {
  const { monolith, services } = pair.connections;
  return structuredClone({
    ...pair.migration,
    control: pair.controlUrl,
    monolith,
    services,
  }) as unknown as Draft;
}

async function refusal(
  definition: unknown,
  command: readonly string[],
): Promise<{ code: number; error: { code: string; message: string; hint: string } }> {
  const config = writeConfig(definition);
  try {
    const { code, stdout, stderr } = await banyan([
      '--config',
      config.file,
      '--json',
      '--log-level',
      'silent',
      ...command,
    ]);
    if (!stdout.includes('"error"')) throw new Error(`no error: ${code} ${stdout} ${stderr}`);
    return {
      code,
      error: (JSON.parse(stdout) as { error: { code: string; message: string; hint: string } })
        .error,
    };
  } finally {
    config.remove();
  }
}

const advance = ['advance', 'catalog'];
const sync = ['sync'];
const up = ['up', '--port', '0', '--admin-port', '0'];
/** A mistake is found in one place, whatever the command: each of both occurs in the short run. */
const commands = (one: readonly string[]): (readonly string[])[] => [
  ...cases([advance, sync, up], one),
];

test.each(commands(sync))('an unknown key is named with its path: %s', async (...command) => {
  const draft = right();
  draft.capabilities.catalog.tables[1] = { ...draft.capabilities.catalog.tables[1], colums: {} };
  const { code, error } = await refusal(draft, command);
  expect(error.code).toBe('CONFIG_INVALID');
  expect(error.message).toContain('capabilities.catalog.tables.1.colums: unknown key');
  expect(error.hint).not.toBe('');
  expect(code).toBe(2);
});

test.each(commands(advance))(
  'an unknown column is named with its table: %s',
  async (...command) => {
    const draft = right();
    draft.capabilities.catalog.tables[0] = {
      ...draft.capabilities.catalog.tables[0],
      columns: { nmm: 'title' },
    };
    const { code, error } = await refusal(draft, command);
    expect(error.code).toBe('PREFLIGHT_FAILED');
    expect(error.message).toContain('there is no column nmm in public.cat');
    expect(error.message).toContain('Its columns are: cat_id, nm, par_id');
    expect(code).toBe(2);
  },
);

test.each(commands(up))(
  'a table without a key is named with the statement that mends it: %s',
  async (...command) => {
    await pair.monolith.query(
      `CREATE TABLE IF NOT EXISTS loose (loose_id integer NOT NULL, nm text)`,
    );
    await pair.service.query(`CREATE TABLE IF NOT EXISTS firm (id integer PRIMARY KEY, name text)`);
    const draft = right();
    draft.capabilities.catalog.tables.push({
      monolith: 'loose',
      service: ['firm'],
      key: { loose_id: 'id' },
      columns: { nm: 'name' },
    });
    const { error } = await refusal(draft, command);
    expect(error.code).toBe('PREFLIGHT_FAILED');
    expect(error.message).toContain('table public.loose has no primary key');
    expect(error.message).toContain('ADD PRIMARY KEY');
  },
);

test.each(commands(sync))(
  'an unreachable database is named without its password: %s',
  async (...command) => {
    const draft = right();
    draft.monolith.database['applier'] = 'postgresql://somebody:topsecret@127.0.0.1:9/shop';
    const { error } = await refusal(draft, command);
    expect(error.message).toContain('cannot connect to 127.0.0.1:9/shop as somebody');
    expect(error.message).not.toContain('topsecret');
  },
);

test.each(commands(advance))(
  'a server without logical decoding is named with the setting: %s',
  async (...command) => {
    const draft = right();
    const url = replica.url();
    draft.monolith.database = { capture: url, applier: url, coordinator: url };
    const { error } = await refusal(draft, command);
    expect(error.message).toContain('wal_level=replica');
    expect(error.message).toContain('Set wal_level = logical');
  },
);

test('an unreachable control database is one error with a hint', async () => {
  const { code, error } = await refusal(
    { ...right(), control: 'postgresql://x:topsecret@127.0.0.1:9/control' },
    ['status'],
  );
  expect(error.code).toBe('DATABASE_UNREACHABLE');
  expect(error.hint).toContain('pg_hba.conf');
  expect(JSON.stringify(error)).not.toContain('topsecret');
  expect(code).toBe(3);
});

test('a control database that is not there, or takes no schema, is told with the statement that mends it', async () => {
  const gone = new URL(pair.controlUrl);
  gone.pathname = '/nowhere "at" all';
  const missing = await refusal({ ...right(), control: gone.href }, ['status']);
  expect(missing.error).toMatchObject({
    code: 'DATABASE_UNREACHABLE',
    hint: expect.stringContaining('CREATE DATABASE "nowhere ""at"" all" OWNER') as unknown,
  });
  const { code, error } = await refusal({ ...right(), control: bare }, ['status']);
  expect(code).toBe(2);
  expect(error).toMatchObject({
    code: 'PREFLIGHT_FAILED',
    message: expect.stringContaining('permission denied') as unknown,
    hint: expect.stringMatching(/GRANT CREATE ON DATABASE "shop_\w+" TO "\w+_applier"/) as unknown,
  });
});

test('preflight looks at the control database and the upstreams as well, and shows what it warns of beside what must be mended', async () => {
  const { error } = await refusal({ ...right(), control: bare }, ['preflight']);
  expect(error.message).toMatch(/control database: its role may not make the schema banyan/);
  expect(error.message).toMatch(
    /to decide on:[^]*monolith: nothing answers at its upstream http:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/,
  );
});

test('the grants of several databases are one script for psql, and one of them plain SQL', async () => {
  const config = writeConfig(right());
  const grants = async (...more: string[]): ReturnType<typeof banyan> =>
    banyan(['--config', config.file, 'grants', '--table-owner', 'app', ...more]);
  try {
    const { stdout } = await grants();
    const lines = stdout.split('\n').filter((line) => /^(--|\\)/.test(line));
    expect(lines).toEqual([
      expect.stringMatching(/^-- monolith: database shop_/),
      expect.stringMatching(/^\\connect -reuse-previous=on "dbname='shop_\w+'"$/),
      expect.stringMatching(/^-- catalog: database catalog_/),
      expect.stringMatching(/^\\connect -reuse-previous=on "dbname='catalog_\w+'"$/),
    ]);
    const one = (await grants('--only', 'catalog')).stdout;
    expect(one).toContain('"public"."product"');
    expect(one).not.toMatch(/shop_|\\connect/);
    await pair.service.query(one.replaceAll('"app"', `"s_${pair.tag}_app"`));
    const unknown = await grants('--only', 'catalogue');
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('--only takes one of: monolith, catalog.');
  } finally {
    config.remove();
  }
});

test('a missing file, an unknown capability and a wrong option each have their exit code', async () => {
  expect(await banyan(['--config', 'nowhere.ts', 'status'])).toMatchObject({ code: 2 });
  const { code, error } = await refusal(right(), ['advance', 'catalogue']);
  expect(error).toMatchObject({ code: 'UNKNOWN_CAPABILITY' });
  expect(error.hint).toContain('catalog');
  expect(code).toBe(2);
  const usage = await banyan(['advance']);
  expect(usage.code).toBe(2);
  expect(usage.stderr).toContain('[USAGE]');
});

test('a second `banyan up` beside the same definition is told of the first', async () => {
  const config = writeConfig({
    monolith: { upstream: 'http://127.0.0.1:1' },
    services: { catalog: { upstream: 'http://127.0.0.1:2' } },
    capabilities: { catalog: { service: 'catalog', routes: ['/api/**'] } },
  });
  const left = path.join(path.dirname(config.file), '.banyan/running.json');
  mkdirSync(path.dirname(left));
  writeFileSync(left, JSON.stringify({ pid: process.pid, control: 'postgresql://127.0.0.1:9/x' }));
  try {
    const up = await banyan(['--config', config.file, 'up', '--port', '0', '--admin-port', '0']);
    expect(up.code).toBe(2);
    expect(up.stderr).toContain(`[ALREADY_RUNNING] process ${process.pid} already runs`);
  } finally {
    config.remove();
  }
});

test('a capability that is under way and that the definition does not name is told of', async () => {
  const entry = { who: 'test', event: 'advance', why: '', evidence: {} };
  const before = await pair.store.readOne('former');
  const cutover = await pair.store.change(before, { phase: 'cutover' }, entry);
  const config = writeConfig(right());
  try {
    const status = await banyan(['--config', config.file, 'status']);
    expect(status.stdout).toMatch(/^former +cutover +service/m);
    expect(status.stdout).toMatch(/"former" is in cutover, and the definition does not name it/);
    const sync = startBanyan(['--config', config.file, 'sync']);
    await sync.says('sync is running');
    sync.child.kill('SIGTERM');
    await sync.exited;
    expect(sync.stdout() + sync.stderr()).toMatch(/former.*the definition does not name it/);
  } finally {
    config.remove();
    await pair.store.change(cutover, { phase: 'monolith' }, entry);
  }
});
