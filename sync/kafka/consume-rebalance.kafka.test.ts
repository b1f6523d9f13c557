// Another member joins the flow's group and leaves it, again and again under load: partitions are taken
// away and given back in the middle of everything, and what was fetched comes again. Nothing of it has
// an effect: both sides equal, every movement counted once, no row goes back in time.
// `REBALANCES=n` for more of them.
import { afterEach, beforeAll, expect, test } from '@jest/globals';
import { kafkaClient } from '../../core/kafka/connect.ts';
import { sleep, waitFor } from '../../core/lifecycle.ts';
import {
  BANK,
  equalBooks,
  expectExactlyOnce,
  LEDGER,
  startBank,
  type BankLoad,
} from '../../test/support/bank.ts';
import { silent } from '../../test/support/kafka-records.ts';
import { sharedKafka, type SharedKafka } from '../../test/support/kafka.ts';
import type { Pair } from '../../test/support/pair.ts';
import { serverUrl } from '../../test/support/postgres.ts';
import { randomOf } from '../../test/support/random.ts';
import { relayedPair, settingsOf, startRelay } from '../../test/support/relayed.ts';
import { startSync, streaming, type RunningSync } from '../../test/support/sync.ts';

const REBALANCES = Number(process.env['REBALANCES'] ?? 6);

let kafka: SharedKafka;
let pair: Pair;
let relay: RunningSync | undefined;
let sync: RunningSync | undefined;
let bank: BankLoad | undefined;

beforeAll(async () => {
  kafka = await sharedKafka();
}, 120_000);
afterEach(async () => {
  await bank?.stop();
  bank = undefined;
  await sync?.stop();
  await relay?.stop();
  [sync, relay] = [undefined, undefined];
  await pair.close();
});

/** Joins the group, gets its share, and leaves after a while: two rebalances. */
async function intrude(topics: readonly string[], pauseMs: number): Promise<void> {
  const given = Promise.withResolvers<undefined>();
  const consumer = await kafkaClient(kafka.connection, silent).consumer({
    groupId: `${settingsOf(pair).prefix}.catalog:to`,
    topics,
    assigned: ({ partitions }) => {
      given.resolve(undefined);
      return Promise.resolve(partitions.map((one) => ({ ...one, offset: 'latest' as const })));
    },
    deliver: () => Promise.resolve(),
  });
  await Promise.race([given.promise, consumer.ended]);
  await sleep(pauseMs);
  await consumer.close();
}

/** Waits until the flow has every partition again and has gone on in it. */
async function progress(): Promise<void> {
  const at = async (): Promise<string[]> =>
    (
      await pair.service.query<{ next: string }>(
        'SELECT next_offset::text AS next FROM banyan.log_offset ORDER BY topic, partition',
      )
    ).rows.map(({ next }) => next);
  const before = await at();
  await waitFor(async () => (await at()).every((next, index) => next !== before[index]), {
    timeoutMs: 60_000,
    everyMs: 20,
    what: 'every partition to go on',
  });
}

test.each(['changes', 'table'] as const)(
  `${REBALANCES} rebalances of the group under load have no effect (layout %s)`,
  async (layout) => {
    const random = randomOf(layout.length);
    pair = await relayedPair(kafka, { ...BANK, layout, partitions: layout === 'table' ? 3 : 1 });
    relay = startRelay(pair);
    await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
    sync = startSync(pair);
    await streaming(pair, 'to');
    await pair.service.query(LEDGER);
    bank = startBank(pair.monolithAppUrl, 2, 1);
    const prefix = `${settingsOf(pair).prefix}.monolith`;
    const topics =
      layout === 'changes'
        ? [`${prefix}.changes`]
        : [`${prefix}.public.acct`, `${prefix}.public.hist`];
    for (let done = 0; done < REBALANCES; done += 2) {
      await intrude(topics, random() * 300);
      // Now and then the next one comes before anybody has recovered.
      if (random() < 0.75) await progress();
    }
    const acknowledged = await bank.stop();
    bank = undefined;
    // What was written while others had the partitions is still to come.
    await waitFor(async () => (await streaming(pair, 'to').catch(() => false)) !== false, {
      timeoutMs: 180_000,
      what: 'the flow to catch up',
    });
    const urlOf = async (session: Pair['monolith']): Promise<string> =>
      serverUrl(
        (await session.query<{ name: string }>('SELECT current_database() AS name')).rows[0]?.name,
      );
    const target = await urlOf(pair.service);
    await equalBooks(await urlOf(pair.monolith), target);
    expect(acknowledged.size).toBeGreaterThan(REBALANCES);
    await expectExactlyOnce(target, acknowledged);
  },
  900_000,
);
