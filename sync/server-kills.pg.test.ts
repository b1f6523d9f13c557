// kill -9 of the real `banyan sync`, of the source server and of the target server, at random, under
// a load that goes on: nothing acknowledged is lost, nothing has its effect twice, and whoever comes
// back is taken up again without anybody's help. `KILLS=n` for more of them, as in CI, `SEED=n` for a schedule.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { sleep, waitFor } from '../core/lifecycle.ts';
import { withClient } from '../core/postgres/connect.ts';
import {
  BANK,
  equalBooks,
  expectExactlyOnce,
  LEDGER,
  startBank,
  type BankLoad,
} from '../test/support/bank.ts';
import { startBanyan, writeConfig, type Running } from '../test/support/command.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { randomOf, seeds } from '../test/support/random.ts';
import { ownServer, type OwnServer } from '../test/support/servers.ts';
import { streaming } from '../test/support/sync.ts';

const KILLS = Number(process.env['KILLS'] ?? 8);
const CLIENTS = 4;

let source: OwnServer;
let target: OwnServer;
let pair: Pair;
let config: ReturnType<typeof writeConfig>;
let sync: Running | undefined;
let bank: BankLoad | undefined;
let urls: { readonly source: string; readonly target: string };

beforeEach(async () => {
  killed = { sync: 0, source: 0, target: 0 };
  [source, target] = [await ownServer(), await ownServer()];
  await Promise.all([source.start(), target.start()]);
  pair = await createPair({ ...BANK, servers: { monolith: source.url(), service: target.url() } });
  const nameOf = async (session: Pair['monolith']): Promise<string> =>
    (await session.query<{ name: string }>('SELECT current_database() AS name')).rows[0]?.name ??
    '';
  urls = {
    source: source.url(await nameOf(pair.monolith)),
    target: target.url(await nameOf(pair.service)),
  };
  const { monolith, services } = pair.connections;
  config = writeConfig({
    ...pair.migration,
    // Slow enough for a copy to be in its middle for as long as that is looked for.
    sync: { ...pair.migration.sync, copyRowsPerSecond: 20_000 },
    control: pair.controlUrl,
    monolith,
    services: { catalog: services['catalog'] },
  });
});

afterEach(async () => {
  await bank?.stop();
  bank = undefined;
  sync?.child.kill('SIGKILL');
  await sync?.exited;
  sync = undefined;
  config.remove();
  await pair.close();
  await source.remove();
  await target.remove();
});

function startSync(): void {
  sync = startBanyan(['--config', config.file, '--json', '--log-level', 'error', 'sync']);
}

const kills = {
  sync: async () => {
    sync?.child.kill('SIGKILL');
    expect(await sync?.exited).toBe(137);
    startSync();
  },
  source: async () => {
    await source.kill();
    await source.start();
  },
  target: async () => {
    await target.kill();
    await target.start();
  },
};
const VICTIMS = ['sync', 'source', 'target'] as const;
let killed: Record<(typeof VICTIMS)[number], number>;

/** Waits until what the query asks the target for is another one than it was. */
function changes(text: string, what: string): Promise<unknown> {
  return withClient(urls.target, SESSION, async (session) => {
    const value = async (): Promise<string | null> =>
      (await session.query<{ value: string | null }>(text)).rows[0]?.value ?? null;
    const before = await value();
    return waitFor(async () => (await value()) !== before, {
      ...{ timeoutMs: 60_000, everyMs: 5, what },
    });
  });
}

const progress = (): Promise<unknown> =>
  changes(`SELECT commit_lsn || '/' || seq AS value FROM banyan.checkpoint`, 'the stream to go on');

async function killOne(random: () => number): Promise<void> {
  const victim = VICTIMS[Math.floor(random() * VICTIMS.length)] ?? 'sync';
  await kills[victim]();
  killed[victim] += 1;
}

test.each(seeds(1))(
  `${KILLS} kills of sync, source and target under load lose nothing and double nothing (seed %i)`,
  async (seed) => {
    const random = randomOf(seed);
    await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
    startSync();
    await streaming(pair, 'to');
    await withClient(urls.target, SESSION, (session) => session.query(LEDGER));
    bank = startBank(urls.source, CLIENTS, seed);
    for (let done = 0; done < KILLS; done++) {
      await killOne(random);
      // Now and then the next blow falls before anybody has recovered.
      if (random() < 0.75) await progress();
      await sleep(random() * 150);
    }
    const acknowledged = await bank.stop();
    await equalBooks(urls.source, urls.target);
    expect(acknowledged.size).toBeGreaterThan(KILLS);
    await expectExactlyOnce(urls.target, acknowledged);
    expect(killed.sync + killed.source + killed.target).toBe(KILLS);
    expect(Math.min(killed.sync, killed.source, killed.target)).toBeGreaterThan(0);
  },
  400_000,
);

test('a copy whose servers are killed in its middle is taken up again, and complete', async () => {
  await withClient(urls.source, SESSION, (session) =>
    session.query(`
      INSERT INTO acct SELECT i, 0, 0, '' FROM generate_series(1001, 1100) i;
      INSERT INTO hist SELECT -i, 1001 + i % 100, i % 1000 FROM generate_series(1, 150000) i`),
  );
  await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
  startSync();
  bank = startBank(urls.source, CLIENTS, 1);
  const copied = `SELECT sum(rows)::text AS value FROM banyan.backfill WHERE source_table = 'public.hist' AND stage <> 'done'`;
  for (const victim of ['source', 'target', 'sync', 'target', 'source'] as const) {
    await changes(copied, 'the copy to go on');
    await kills[victim]();
  }
  const { rows } = await withClient(urls.target, SESSION, (session) =>
    session.query<{ value: string | null }>(copied),
  );
  // It was in its middle to the last.
  expect(Number(rows[0]?.value)).toBeGreaterThan(0);
  await streaming(pair, 'to');
  await bank.stop();
  await equalBooks(urls.source, urls.target);
}, 400_000);
