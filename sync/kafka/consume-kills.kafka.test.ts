// kill -9 of the real `banyan sync`, of `banyan relay` and of the broker, at random, under a load that
// goes on: nothing acknowledged is lost, nothing has its effect twice, no row goes back in time.
// `KILLS=n` for more of them, as in CI, `SEED=n` for a schedule.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { sleep, waitFor } from '../../core/lifecycle.ts';
import {
  BANK,
  equalBooks,
  expectExactlyOnce,
  LEDGER,
  startBank,
  type BankLoad,
} from '../../test/support/bank.ts';
import { startBanyan, writeConfig, type Running } from '../../test/support/command.ts';
import { testKafka, type TestKafka } from '../../test/support/kafka.ts';
import { serverUrl } from '../../test/support/postgres.ts';
import type { Pair } from '../../test/support/pair.ts';
import { randomOf, seeds } from '../../test/support/random.ts';
import { relayedPair } from '../../test/support/relayed.ts';
import { streaming } from '../../test/support/sync.ts';

const KILLS = Number(process.env['KILLS'] ?? 3);
/** How long nothing may move. */
const PATIENCE_MS = 60_000;
const LIMIT_MS = 300_000 + KILLS * 30_000;
const VICTIMS = ['sync', 'relay', 'broker'] as const;

let kafka: TestKafka;
let pair: Pair;
let config: ReturnType<typeof writeConfig>;
let bank: BankLoad | undefined;
const running: { sync?: Running; relay?: Running } = {};

beforeEach(async () => {
  kafka = await testKafka();
  pair = await relayedPair(kafka, BANK);
  const { monolith, services } = pair.connections;
  config = writeConfig({
    ...pair.migration,
    control: pair.controlUrl,
    monolith,
    services: { catalog: services['catalog'] },
  });
}, 120_000);

afterEach(async () => {
  await bank?.stop();
  bank = undefined;
  for (const what of ['sync', 'relay'] as const) {
    running[what]?.child.kill('SIGKILL');
    await running[what]?.exited;
  }
  config.remove();
  await pair.close();
  await kafka.remove();
});

async function restart(what: 'sync' | 'relay'): Promise<void> {
  running[what]?.child.kill('SIGKILL');
  await running[what]?.exited;
  running[what] = startBanyan(['--config', config.file, '--json', '--log-level', 'error', what]);
}

const kills: Record<(typeof VICTIMS)[number], () => Promise<void>> = {
  sync: () => restart('sync'),
  relay: () => restart('relay'),
  broker: async () => {
    await kafka.kill();
    await kafka.start();
  },
};

/** Superuser URL of the database behind a session. */
async function urlOf(session: Pair['monolith']): Promise<string> {
  const { rows } = await session.query<{ name: string }>('SELECT current_database() AS name');
  return serverUrl(rows[0]?.name);
}

/** How far the flow is in its topic. */
async function placeOf(): Promise<string | undefined> {
  const { rows } = await pair.service.query<{ n: string }>(
    'SELECT sum(next_offset)::text AS n FROM banyan.log_offset',
  );
  return rows[0]?.n;
}

async function progress(): Promise<void> {
  const before = await placeOf();
  await waitFor(async () => (await placeOf()) !== before, {
    timeoutMs: PATIENCE_MS,
    everyMs: 20,
    what: 'the stream to go on',
  });
}

/** Waits as long as the stream goes on: how much the kills have left behind is the machine's to say. */
async function caughtUp(since: Date): Promise<void> {
  let place: string | undefined;
  let movedAt = performance.now();
  await waitFor(
    async () => {
      const found = await placeOf();
      if (found !== place) [place, movedAt] = [found, performance.now()];
      else if (performance.now() - movedAt > PATIENCE_MS)
        throw new Error(`the stream has stood still at ${place ?? 'nothing'}`);
      const [line] = await pair.evidence.flows('catalog');
      return new Date(line?.watermark ?? 0) >= since;
    },
    { timeoutMs: LIMIT_MS, everyMs: 250, what: 'the stream to catch up' },
  );
}

test.each(seeds(1))(
  `${KILLS} kills of sync, relay and broker under load lose nothing and double nothing (seed %i)`,
  async (seed) => {
    const random = randomOf(seed);
    await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
    await restart('relay');
    await restart('sync');
    await streaming(pair, 'to');
    await pair.service.query(LEDGER);
    bank = startBank(pair.monolithAppUrl, 3, seed);
    for (let done = 0; done < KILLS; done++) {
      const turn = VICTIMS[done < VICTIMS.length ? done : Math.floor(random() * VICTIMS.length)];
      await kills[turn ?? 'sync']();
      // Now and then the next blow falls before anybody has recovered.
      if (random() < 0.75) await progress();
      await sleep(random() * 150);
    }
    const acknowledged = await bank.stop();
    const since = await pair.evidence.now();
    await caughtUp(since);
    const target = await urlOf(pair.service);
    await equalBooks(await urlOf(pair.monolith), target);
    expect(acknowledged.size).toBeGreaterThan(KILLS);
    await expectExactlyOnce(target, acknowledged);
  },
  LIMIT_MS,
);
