// What only size and time bring about, with the real `banyan sync`: a transaction that is larger than
// memory, both sides changing at once, a target that is away for long. Small here; `npm run soak:sync`
// has two million rows, a million changes and ten minutes.
import { readFileSync } from 'node:fs';
import { afterEach, expect, test } from '@jest/globals';
import { sleep, waitFor } from '../core/lifecycle.ts';
import { withClient } from '../core/postgres/connect.ts';
import { BANK, equalBooks, startBank } from '../test/support/bank.ts';
import { startBanyan, writeConfig, type Running } from '../test/support/command.ts';
import { createPair, SESSION, type Pair, type PairOptions } from '../test/support/pair.ts';
import { ownServer, type OwnServer } from '../test/support/servers.ts';
import { advanceTo, equal, streaming } from '../test/support/sync.ts';

const BIG_ROWS = Number(process.env['BIG_ROWS'] ?? 60_000);
const CHANGES = Number(process.env['CHANGES'] ?? 20_000);
const DOWN_S = Number(process.env['DOWN_S'] ?? 4);
const MB = 1_048_576;
const MOST_MEMORY = 300 * MB;
const PATIENCE_MS = 1_200_000;

let pair: Pair;
let config: ReturnType<typeof writeConfig> | undefined;
let sync: Running | undefined;
let servers: OwnServer[] = [];

afterEach(async () => {
  sync?.child.kill('SIGKILL');
  await sync?.exited;
  config?.remove();
  await pair.close();
  for (const server of servers) await server.remove();
  [sync, config, servers] = [undefined, undefined, []];
});

async function start(options: PairOptions = {}, walAlarmBytes = 1024 * MB): Promise<void> {
  pair = await createPair(options);
  const { monolith, services } = pair.connections;
  config = writeConfig({
    ...pair.migration,
    sync: { ...pair.migration.sync, walAlarmBytes },
    control: pair.controlUrl,
    monolith,
    services: { catalog: services['catalog'] },
  });
  sync = startBanyan(['--config', config.file, '--json', '--log-level', 'warn', 'sync']);
}

/** Runs `work` beside a look at the memory of sync; gives the most it had. */
async function mostMemory(work: () => Promise<void>): Promise<number> {
  const over = new AbortController();
  let most = 0;
  const looking = (async () => {
    while (!over.signal.aborted) {
      const status = readFileSync(`/proc/${sync?.child.pid ?? 0}/status`, 'utf8');
      most = Math.max(most, Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024);
      await sleep(50, over.signal);
    }
  })();
  await work();
  over.abort();
  await looking;
  return most;
}

async function ask(side: Pair['monolith'], text: string): Promise<string | undefined> {
  const { rows } = await side.query<{ value: string }>(text);
  return rows[0]?.value;
}

test(
  'a transaction larger than memory is applied in parts, and memory stays bounded',
  async () => {
    await start();
    await advanceTo(pair, 'sync');
    await streaming(pair, 'to');
    const most = await mostMemory(async () => {
      await pair.monolith.query(
        `INSERT INTO prd (no, nm, dsc, prc) SELECT 'B' || i, 'big ' || i, repeat('x', 40), i % 1000 FROM generate_series(1, $1::int) i`,
        [BIG_ROWS],
      );
      await waitFor(
        async () =>
          (await ask(pair.service, 'SELECT count(*)::text AS value FROM product_text')) ===
          String(BIG_ROWS),
        { timeoutMs: PATIENCE_MS, everyMs: 250, what: 'the transaction to be applied' },
      );
      await streaming(pair, 'to');
    });
    process.stderr.write(`${BIG_ROWS} rows: sync had at most ${Math.round(most / MB)} MB\n`);
    expect(most).toBeLessThan(MOST_MEMORY);
    expect(
      await ask(pair.service, 'SELECT sum(price_cents)::text AS value FROM product WHERE id > 0'),
    ).toBe(await ask(pair.monolith, 'SELECT sum((prc * 100)::bigint)::text AS value FROM prd'));
  },
  PATIENCE_MS,
);

test(
  'both sides changing at once: each change travels once, and none comes back',
  async () => {
    await start();
    const rows = 500;
    await pair.monolith.query(
      `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', 1 FROM generate_series(1, $1::int) i`,
      [rows],
    );
    await advanceTo(pair, 'cutover');
    await streaming(pair, 'back');
    const applied = async (): Promise<number[]> => {
      const flows = await pair.evidence.flows('catalog');
      return (['to', 'back'] as const).map(
        (way) => flows.find(({ direction }) => direction === way)?.applied ?? 0,
      );
    };
    await streaming(pair, 'to');
    const before = await applied();
    const rounds = Math.ceil(CHANGES / 2 / rows);
    const change = async (side: Pair['monolith'], text: string): Promise<void> => {
      for (let round = 0; round < rounds; round++) await side.query(text);
    };
    // What stays is changed by the monolith, what moved by the service: the same rows on both sides.
    await Promise.all([
      change(pair.monolith, 'UPDATE prd SET stk = stk + 1'),
      change(pair.service, 'UPDATE product SET price_cents = price_cents + 1'),
    ]);
    await equal(pair);
    // Whatever came back would be on its way now.
    for (const way of ['to', 'back', 'to', 'back'] as const) await streaming(pair, way);
    const after = await applied();
    const [to = 0, back = 0] = after.map((count, index) => count - (before[index] ?? 0));
    process.stderr.write(`${2 * rounds * rows} changes: ${to} went there, ${back} back\n`);
    expect([to, back]).toEqual([rounds * rows, rounds * rows]);
  },
  PATIENCE_MS,
);

test(
  'a target that is away costs the source WAL and an alarm, sync no memory, and nobody a change',
  async () => {
    servers = [await ownServer(), await ownServer()];
    await Promise.all(servers.map((server) => server.start()));
    const [source, target] = servers as [OwnServer, OwnServer];
    await start({ ...BANK, servers: { monolith: source.url(), service: target.url() } }, MB);
    const name = (side: Pair['monolith']): Promise<string | undefined> =>
      ask(side, 'SELECT current_database() AS value');
    const urls = {
      source: source.url(await name(pair.monolith)),
      target: target.url(await name(pair.service)),
    };
    await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
    await streaming(pair, 'to');
    const bank = startBank(urls.source, 4, 1, 4);
    const alarmed = (): boolean =>
      `${sync?.stdout() ?? ''}${sync?.stderr() ?? ''}`.includes('bytes are kept');
    const most = await mostMemory(async () => {
      await target.stop();
      await sleep(DOWN_S * 1_000);
      await waitFor(alarmed, { timeoutMs: 60_000, what: 'the alarm of the WAL that is kept' });
      await target.start();
      await bank.stop();
      const since = await pair.evidence.now();
      await waitFor(
        async () => {
          const [line] = await pair.evidence.flows('catalog');
          return (line?.watermark ?? null) !== null && new Date(line?.watermark ?? 0) >= since;
        },
        { timeoutMs: PATIENCE_MS, what: 'the stream to catch up' },
      );
      await equalBooks(urls.source, urls.target);
    });
    const changes = await withClient(urls.target, SESSION, (session) =>
      ask(session, 'SELECT count(*)::text AS value FROM movement'),
    );
    process.stderr.write(
      `${DOWN_S} s away, ${changes ?? '?'} movements: sync had at most ${Math.round(most / MB)} MB\n`,
    );
    expect(most).toBeLessThan(MOST_MEMORY);
  },
  PATIENCE_MS,
);
