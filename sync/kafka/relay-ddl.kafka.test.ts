// Tables that are altered, renamed and dropped while their changes wait for the relay: it writes what the
// log says of them, whatever the catalog says now, and no flow of other tables notices.
import { afterEach, beforeAll, expect, test } from '@jest/globals';
import { kafkaClient } from '../../core/kafka/connect.ts';
import { waitFor } from '../../core/lifecycle.ts';
import { RelayReports } from '../../control/relay-reports.ts';
import { seedShop, shopViews } from '../../test/support/load.ts';
import { readTopic, silent } from '../../test/support/kafka-records.ts';
import { sharedKafka, type SharedKafka } from '../../test/support/kafka.ts';
import type { Pair } from '../../test/support/pair.ts';
import { relayedPair, settingsOf, startRelay } from '../../test/support/relayed.ts';
import {
  advanceTo,
  equal,
  startSync,
  stopped,
  streaming,
  type RunningSync,
} from '../../test/support/sync.ts';
import { cases } from '../../test/support/long.ts';

let kafka: SharedKafka;
let pair: Pair;
let relay: RunningSync | undefined;
let sync: RunningSync | undefined;

beforeAll(async () => {
  kafka = await sharedKafka();
}, 120_000);
afterEach(async () => {
  await sync?.stop();
  await relay?.stop();
  await pair.close();
});

interface Envelope {
  readonly op?: string;
  readonly before?: Readonly<Record<string, unknown>> | null;
  readonly after?: Readonly<Record<string, unknown>> | null;
  readonly source?: { readonly table?: string };
}

/** What the topic says of tables that are none of the flow's. */
async function said(topic: string): Promise<unknown[]> {
  const records = await readTopic(kafkaClient(kafka.connection, silent), topic);
  return records
    .map(({ value }) => JSON.parse(value ?? 'null') as Envelope)
    .filter(({ source, op }) => op !== 'm' && /^(other|gone)/.test(source?.table ?? ''))
    .map(({ source, op, before, after }) => [source?.table, op, before, after]);
}

test.each(cases(['changes', 'table'] as const, 'changes'))(
  'what the log says is written, whatever became of its tables since (layout %s)',
  async (layout) => {
    pair = await relayedPair(kafka, { layout });
    await seedShop(pair);
    await advanceTo(pair, 'sync');
    await pair.monolith.query(`
      CREATE TYPE colour AS ENUM ('red', 'blue');
      CREATE DOMAIN price AS numeric(8,2);
      CREATE TABLE other (id integer PRIMARY KEY, nm text, amount integer, at timestamp, of price);
      CREATE TABLE gone (id integer PRIMARY KEY, hue colour);
      ALTER PUBLICATION banyan_relay ADD TABLE other, gone;
      INSERT INTO other VALUES (1, 'first', 5, '2026-01-02 03:04:05', 1.50);
      INSERT INTO gone VALUES (1, 'red');
      DELETE FROM gone WHERE id = 1`);
    await pair.monolith.query(`
      ALTER TABLE other DROP COLUMN nm;
      ALTER TABLE other ALTER COLUMN amount TYPE text USING 'no number';
      INSERT INTO other VALUES (2, 'now a text', NULL, 2);
      ALTER TABLE other RENAME TO otherwise;
      ALTER TABLE otherwise RENAME COLUMN of TO price;
      INSERT INTO otherwise VALUES (3, 'x', NULL, 3);
      DROP TABLE gone; DROP TYPE colour;
      UPDATE prd SET nm = 'comes through' WHERE prd_id = 1`);
    relay = startRelay(pair);
    sync = startSync(pair);
    await streaming(pair, 'to');
    await equal(pair, () => shopViews(pair));
    expect((await new RelayReports(pair.db).lines())[0]).toMatchObject({
      status: 'running',
      error: null,
    });
    if (layout === 'table') return;
    const topic = `${settingsOf(pair).prefix}.monolith.changes`;
    const at = (us: number): number => us * 1_000_000;
    expect(await said(topic)).toEqual([
      ['other', 'c', null, { id: 1, nm: 'first', amount: 5, at: at(1_767_323_045), of: '1.50' }],
      ['gone', 'c', null, { id: 1, hue: 'red' }],
      ['gone', 'd', { id: 1 }, null],
      ['other', 'c', null, { id: 2, amount: 'now a text', at: null, of: '2.00' }],
      ['otherwise', 'c', null, { id: 3, amount: 'x', at: null, price: '3.00' }],
    ]);
  },
);

test('a table of a flow that is renamed stops that flow, and the relay goes on', async () => {
  pair = await relayedPair(kafka);
  await seedShop(pair);
  await advanceTo(pair, 'sync');
  relay = startRelay(pair);
  sync = startSync(pair);
  await streaming(pair, 'to');
  await pair.monolith.query(`
    ALTER TABLE cat RENAME TO category;
    UPDATE category SET nm = 'under another name' WHERE cat_id = 1`);
  await waitFor(async () => /renamed|no table/.test((await stopped(pair, 'to')).error), {
    timeoutMs: 30_000,
    what: 'the flow to stop',
  });
  await pair.monolith.query('ALTER TABLE category RENAME TO cat');
  expect((await new RelayReports(pair.db).lines())[0]).toMatchObject({ status: 'running' });
});

test('a TRUNCATE of a table that is none of the definition’s stops no flow', async () => {
  pair = await relayedPair(kafka);
  await seedShop(pair);
  await advanceTo(pair, 'sync');
  await pair.monolith.query(`
    CREATE TABLE other (id integer PRIMARY KEY);
    CREATE TABLE another (id integer PRIMARY KEY);
    ALTER PUBLICATION banyan_relay ADD TABLE other, another`);
  relay = startRelay(pair);
  sync = startSync(pair);
  await streaming(pair, 'to');
  await pair.monolith.query('TRUNCATE other');
  await pair.monolith.query('TRUNCATE other, another, prd, ordl');
  await pair.monolith.query(
    `INSERT INTO prd (prd_id, no, nm, prc) VALUES (1, 'A', 'comes through', 1)`,
  );
  await streaming(pair, 'to');
  await equal(pair, () => shopViews(pair));
  expect((await pair.views()).service).toHaveLength(1);
});

test.each([
  ['alone', 'TRUNCATE product, ordl'],
  ['behind one that the flow reads', 'TRUNCATE cat, product, ordl'],
  ['behind one that nobody names', 'TRUNCATE other, product, ordl'],
])('a TRUNCATE of a flow’s table under another name stops that flow (%s)', async (_, statement) => {
  pair = await relayedPair(kafka);
  await seedShop(pair);
  await advanceTo(pair, 'sync');
  await pair.monolith.query(`
    CREATE TABLE other (id integer PRIMARY KEY);
    ALTER PUBLICATION banyan_relay ADD TABLE other`);
  relay = startRelay(pair);
  sync = startSync(pair);
  await streaming(pair, 'to');
  // By its old name again before anybody looks at the catalog.
  await pair.monolith.query(`
    ALTER TABLE prd RENAME TO product;
    ${statement};
    ALTER TABLE product RENAME TO prd`);
  expect(await stopped(pair, 'to')).toMatchObject({
    code: 'FLOW_STOPPED',
    error: expect.stringContaining('was a table renamed?') as unknown,
  });
  expect((await new RelayReports(pair.db).lines())[0]).toMatchObject({ status: 'running' });
});
