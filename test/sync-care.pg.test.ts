// Looking after the flows from the command line, with the real process: pause and resume, the dead
// letters, and what `banyan sync status` says of it all.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { banyan, startBanyan, writeConfig, type Running } from './support/command.ts';
import { createPair, type Pair } from './support/pair.ts';
import { streaming } from './support/sync.ts';

let pair: Pair;
let config: ReturnType<typeof writeConfig>;
let sync: Running | undefined;

beforeAll(async () => {
  pair = await createPair();
  const { monolith, services } = pair.connections;
  config = writeConfig({
    ...pair.migration,
    control: pair.controlUrl,
    sync: { walAlarmBytes: 1 },
    monolith,
    services: { catalog: services['catalog'] },
  });
  await pair.monolith.query(
    `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', 1 FROM generate_series(1, 5) i`,
  );
  await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
  sync = startBanyan(['--config', config.file, '--json', 'sync', '--metrics-port', '0']);
  await streaming(pair, 'to');
});

afterAll(async () => {
  sync?.child.kill('SIGTERM');
  await sync?.exited;
  config.remove();
  await pair.close();
});

async function run(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await banyan(['--config', config.file, 'sync', ...args]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout;
}

async function refused(...args: string[]): Promise<string> {
  const { code, stderr } = await banyan(['--config', config.file, ...args]);
  expect(code).not.toBe(0);
  return stderr;
}

const nameOf = async (id: number): Promise<string | undefined> =>
  (await pair.service.query<{ name: string }>('SELECT name FROM product WHERE id = $1', [id]))
    .rows[0]?.name;

test('what a source keeps for a flow is shown, and alarmed of', async () => {
  await waitFor(
    async () => {
      const [line] = JSON.parse(await run('status', '--json')) as {
        retainedBytes: number | null;
      }[];
      return (line?.retainedBytes ?? 0) > 0;
    },
    { timeoutMs: 30_000, everyMs: 500, what: 'the WAL to be measured' },
  );
  expect(await run('status')).toMatch(/ \d+ (kB|MB)\s*$/m);
  expect(sync?.stderr()).toContain('the source keeps WAL for a flow that is behind');
});

test('where a port is asked for, the figures of the flows are there', async () => {
  await sync?.says('"ready":true');
  const { metrics } = JSON.parse(sync?.stdout() ?? '') as { metrics: string };
  const text = await (await fetch(metrics)).text();
  expect(text).toMatch(/^banyan_flow_status\{.*"catalog",direction="to",status="streaming"\} 1$/m);
  expect(text).toMatch(/^banyan_flow_watermark_age_seconds\{.*\} \d+(\.\d+)?$/m);
  expect(text).not.toContain('banyan_relay');
});

test('a paused flow stands still, says so and what its source keeps, and goes on where it stopped', async () => {
  expect(await run('pause', 'catalog', '--why', 'a backup')).toContain('catalog: paused');
  await waitFor(async () => (await run('status')).includes('paused'), {
    timeoutMs: 30_000,
    everyMs: 500,
    what: 'the flow to be paused',
  });
  const kept = async (): Promise<number> => {
    const [line] = JSON.parse(await run('status', '--json')) as { retainedBytes: number | null }[];
    return line?.retainedBytes ?? 0;
  };
  const before = await kept();
  await pair.monolith.query(`UPDATE prd SET nm = 'meanwhile' WHERE prd_id = 1`);
  // Nobody reads it, and the source keeps it all the same.
  await pair.monolith.query(`SELECT pg_logical_emit_message(false, 'test', repeat('x', 3000000))`);
  await waitFor(async () => (await kept()) > before + 2_000_000, {
    timeoutMs: 30_000,
    everyMs: 500,
    what: 'what is kept to be measured while the flow is paused',
  });
  const advance = await refused('advance', 'catalog');
  expect(advance).toContain('[GATE_REFUSED]');
  expect(advance).toContain('`banyan sync resume catalog` lets it go on; then advance again.');
  expect(await nameOf(1)).toBe('n');
  expect(await run('resume', 'catalog')).toContain('catalog: resumed');
  await waitFor(async () => (await nameOf(1)) === 'meanwhile', {
    timeoutMs: 30_000,
    what: 'the change to arrive',
  });
  const journal = await pair.store.journal('catalog');
  expect(journal.filter(({ event }) => ['pause', 'resume'].includes(event))).toMatchObject([
    { event: 'pause', why: 'a backup' },
    { event: 'resume' },
  ]);
});

test('the copy alone can be paused and resumed, also while there is nothing to copy', async () => {
  expect(await run('pause', 'catalog', '--copy')).toContain('catalog: copy paused');
  expect(JSON.parse(await run('resume', 'catalog', '--copy', '--json'))).toEqual({
    ...{ capability: 'catalog', what: 'copy' },
    resumed: true,
  });
});

test('dead letters are shown, tried again, read again and given up', async () => {
  expect(await run('show', 'catalog')).toContain('nothing is parked');
  await pair.service.query('ALTER TABLE product ADD CONSTRAINT cheap CHECK (price_cents < 100000)');
  await pair.monolith.query('UPDATE prd SET prc = 5000 WHERE prd_id IN (1, 2)');
  const shown = await waitFor(
    async () => {
      const text = await run('show', 'catalog');
      return text.split('\n').length > 3 ? text : undefined;
    },
    { timeoutMs: 30_000, everyMs: 500, what: 'two letters' },
  );
  expect(shown).toMatch(/to +1 +update of public\.prd +1 .*23514/);
  await waitFor(
    async () =>
      (JSON.parse(await run('status', '--json')) as { parked: number }[])[0]?.parked === 2,
    { timeoutMs: 30_000, everyMs: 500, what: 'the status to tell' },
  );
  expect(await run('retry', 'catalog')).toMatch(
    /2 changes tried again; 2 parked still:\n[^]* 2 +the target refused a change of product: 23514/,
  );
  expect(await refused('verify', 'catalog')).toMatch(
    /product \(1\) different: price_cents is 500000 at the monolith, 100 at the service\n[^]*The monolith owns the data/,
  );
  expect(await refused('sync', 'skip', 'catalog', 'to', '99')).toContain('no change 99 is parked');
  expect(await run('skip', 'catalog', 'to', '1')).toContain('given up');
  await pair.service.query('ALTER TABLE product DROP CONSTRAINT cheap');
  expect(await run('reread', 'catalog')).toContain('read again');
  await waitFor(async () => (await run('show', 'catalog')).includes('nothing is parked'), {
    timeoutMs: 30_000,
    everyMs: 500,
    what: 'the letters to be gone',
  });
  const price = async (id: number): Promise<unknown> =>
    (await pair.service.query('SELECT price_cents::int AS cents FROM product WHERE id = $1', [id]))
      .rows[0];
  await waitFor(async () => JSON.stringify(await price(2)) === '{"cents":500000}', {
    timeoutMs: 30_000,
    what: 'the row to be as it is at the source',
  });
  // What was given up stays as it was, until somebody repairs it.
  expect(await price(1)).toEqual({ cents: 100 });
});

test('conflicts of a write canary are listed with their verdicts, and both rows for machines', async () => {
  expect(await run('conflicts', 'catalog')).toContain('no conflict has been met');
  await pair.monolith.query(
    `INSERT INTO banyan.conflict (flow, source_table, owner_table, key, operation, reason, policy, verdict,
       owner_row, incoming_row, before_row, incoming_at, position)
     VALUES ('catalog:back', 'public.product', 'public.prd', '{"prd_id":"7"}', 'update', 'different', 'owner-wins', 'owner',
       '{"prd_id":"7","nm":"theirs","prc":"1.00"}', '{"prd_id":"7","nm":"ours","prc":"1.00"}', '{"prd_id":"7","nm":"n","prc":"1.00"}', now(), '0/1/1')`,
  );
  expect(await run('conflicts')).toContain('no conflict has been met');
  expect(await run('conflicts', 'catalog')).toMatch(
    /catalog +\S+ \S+ +update of public\.product +7 +different +owner +owner-wins +nm\s*$/m,
  );
  expect(JSON.parse(await run('conflicts', 'catalog', '--json'))).toMatchObject([
    { capability: 'catalog', owner: { nm: 'theirs' }, incoming: { nm: 'ours' }, ownerAt: null },
  ]);
});

test('flows are looked at, compared and repaired by subcommands of sync, too', async () => {
  expect(await run('preflight')).toContain('nothing must be mended');
  const compared = async (command: string): Promise<unknown> =>
    JSON.parse(await run(command, 'catalog', '--json')) as unknown;
  await streaming(pair, 'to');
  // What was given up above differs.
  await run('repair', 'catalog');
  await waitFor(
    async () => (await pair.service.query('SELECT 1 FROM banyan.reread')).rowCount === 0,
    { timeoutMs: 30_000, what: 'the rows to be read again' },
  );
  expect(await compared('verify')).toMatchObject({ missing: 0, extra: 0, different: 0 });
  // Past the fence.
  await pair.service.query(`
    ALTER TABLE product DISABLE TRIGGER banyan_fence_update; UPDATE product SET name = 'wrong' WHERE id = 5;
    ALTER TABLE product ENABLE ALWAYS TRIGGER banyan_fence_update`);
  expect(await refused('sync', 'verify', 'catalog')).toContain('VERIFY_DIFFERENT');
  expect(await compared('repair')).toMatchObject({ missing: 0, extra: 0, different: 1 });
  await waitFor(async () => (await nameOf(5)) !== 'wrong', {
    timeoutMs: 30_000,
    what: 'the row to be right again',
  });
});

test('whatever asks for a capability that is not there is refused alike', async () => {
  for (const command of [['status'], ['recopy'], ['show'], ['conflicts'], ['pause']])
    expect(await refused('sync', ...command, 'catalogue')).toMatch(
      /^\[UNKNOWN_CAPABILITY\] .*catalogue.*\nThe definition names: catalog\.\n/,
    );
});

test('a way back of several phases is walked in one command; a preflight with warnings only has a verdict', async () => {
  const preflight = await banyan(['--config', config.file, 'preflight']);
  expect(preflight).toMatchObject({ code: 0, stderr: '' });
  expect(preflight.stdout).toMatch(
    /\nnothing must be mended; (a warning|\d+ warnings) to decide on\n$/,
  );
  await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
  await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
  const back = await banyan(['--config', config.file, 'rollback', 'catalog', '--to', 'sync']);
  expect(back).toMatchObject({
    ...{ code: 0, stderr: '' },
    stdout: 'catalog: canary → shadow\ncatalog: shadow → sync\n',
  });
  expect(await refused('rollback', 'catalog', '--to', 'canary')).toContain(
    'is in sync, which leads to monolith, not to canary',
  );
});
