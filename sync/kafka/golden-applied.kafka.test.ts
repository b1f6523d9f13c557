// The golden script once more, all the way: brought by Debezium's own engine and by our relay, as the same
// events, and applied by a flow of ours each. Both targets have in the end what their source has.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { kafkaClient } from '../../core/kafka/connect.ts';
import { withClient } from '../../core/postgres/connect.ts';
import type { MigrationInput } from '../../control/definition.ts';
import { connectedPair, type ConnectedPair } from '../../test/support/connected.ts';
import type { Debezium } from '../../test/support/debezium.ts';
import { GOLDEN_COLUMNS, GOLDEN_SCRIPT, GOLDEN_TABLES } from '../../test/support/golden.ts';
import { silent } from '../../test/support/kafka-records.ts';
import { sharedKafka, type SharedKafka } from '../../test/support/kafka.ts';
import { SESSION, type Pair } from '../../test/support/pair.ts';
import { createDatabase } from '../../test/support/postgres.ts';
import { relayedPair, startRelay } from '../../test/support/relayed.ts';
import {
  advanceTo,
  equal,
  startSync,
  streaming,
  type RunningSync,
} from '../../test/support/sync.ts';
import { formOf } from '../domain/debezium/forms.ts';
import { lossOf, unchangedLossOf } from '../domain/debezium/losses.ts';
import { DEBEZIUM_DEFAULTS } from '../domain/debezium/source.ts';
import { readSourceTables } from './source-tables.ts';

const KEYS: Readonly<Record<string, readonly string[]>> = {
  kinds: ['id'],
  kinds_full: ['id'],
  strict: ['id'],
  defaults: ['b', 'a'],
  toasted: ['id'],
  toasted_full: ['id'],
  by_index: ['b', 'a'],
};

/** The tables as the application's own login has them, which may make neither extensions nor schemas. */
const SCHEMA = `
  SELECT set_config('golden.owner', current_user, false);
  RESET ROLE;
  ${GOLDEN_TABLES}
  DROP PUBLICATION golden;
  DO $$ DECLARE one regclass; BEGIN
    EXECUTE format('ALTER SCHEMA shop OWNER TO %I', current_setting('golden.owner'));
    FOR one IN SELECT oid FROM pg_class WHERE relnamespace = 'shop'::regnamespace AND relkind = 'r' LOOP
      EXECUTE format('ALTER TABLE %s OWNER TO %I', one, current_setting('golden.owner'));
    END LOOP; END $$;`;
/** Columns that the connector cannot carry are not mapped. */
const WITHOUT_SOME = `
  DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT attrelid::regclass AS name, attname FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
                WHERE relnamespace = 'shop'::regnamespace AND relkind = 'r' AND attnum > 0 AND attnotnull
                  AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = attrelid AND attnum = ANY (indkey)) LOOP
      EXECUTE format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', one.name, one.attname);
    END LOOP; END $$;`;

let kafka: SharedKafka;
let columns: ReadonlyMap<string, readonly string[]>;
const closers: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  kafka = await sharedKafka();
  columns = await lossless();
}, 120_000);

afterAll(async () => {
  for (const close of closers.reverse()) await close();
});

/** By table, what the connector carries whole as it is by default. */
async function lossless(): Promise<ReadonlyMap<string, readonly string[]>> {
  const database = await createDatabase('golden');
  try {
    return await withClient(database.url, SESSION, async (client) => {
      await client.query(GOLDEN_TABLES);
      const names = Object.keys(KEYS).map((table) => ({ schema: 'shop', table }));
      const tables = await readSourceTables(client, names);
      return new Map(
        tables.map((table) => [
          table.table,
          table.columns
            .filter(({ generated }) => !generated)
            .filter((column) => {
              const form = formOf(column.type, DEBEZIUM_DEFAULTS);
              return !lossOf(column, form) && !unchangedLossOf(table, column, form);
            })
            .map(({ name }) => name),
        ]),
      );
    });
  } finally {
    await database.drop();
  }
}

const mapped = (): MigrationInput['capabilities'][string]['tables'] =>
  Object.entries(KEYS).map(([table, key]) => {
    const same = (names: readonly string[]): Record<string, string> =>
      Object.fromEntries(names.map((name) => [name, name]));
    return {
      ...{ monolith: `shop.${table}`, service: `shop.${table}`, key: same(key) },
      columns: same((columns.get(table) ?? []).filter((name) => !key.includes(name))),
    };
  });

const options = () => ({
  schemas: { monolith: SCHEMA, service: `${SCHEMA}${WITHOUT_SOME}` },
  capability: { tables: mapped() },
});

/** Every row of every table; a number without a scale has lost the zeros at its end on the way. */
async function views({ monolith, service }: Pair): ReturnType<Pair['views']> {
  const rowsOf = async (client: Pair['monolith']): Promise<unknown[]> => {
    const all: unknown[] = [];
    for (const [table, key] of Object.entries(KEYS)) {
      const texts = (columns.get(table) ?? []).map((name) =>
        name === 'c_bare' ? `trim_scale(c_bare)::text AS c_bare` : `${name}::text`,
      );
      const { rows } = await client.query<object>(
        `SELECT '${table}' AS "table", ${texts.join(', ')} FROM shop.${table} ORDER BY ${key.map((name) => `${table}.${name}`).join(', ')}`,
      );
      all.push(...rows);
    }
    return all;
  };
  return { monolith: await rowsOf(monolith), service: await rowsOf(service) };
}

/** Runs the script on a pair whose flow has begun. */
async function runScript(pair: Pair): Promise<void> {
  await advanceTo(pair, 'sync');
  const sync: RunningSync = startSync(pair);
  closers.push(() => sync.stop());
  await streaming(pair, 'to');
  for (const statements of GOLDEN_SCRIPT) await pair.monolith.query(`BEGIN; ${statements}; COMMIT`);
  await streaming(pair, 'to');
}

async function expectWhole(pair: Pair): Promise<void> {
  await equal(pair, () => views(pair));
  const { service } = await views(pair);
  expect(service.length).toBeGreaterThan(10);
  const { rows } = await pair.service.query('SELECT error FROM banyan.parked');
  expect(rows).toEqual([]);
}

test('columns of enough types are carried', () => {
  const carried = GOLDEN_COLUMNS.filter((name) => columns.get('kinds')?.includes(name));
  expect(carried.length).toBeGreaterThan(40);
});

test("what Debezium's engine sends is applied to what the source has", async () => {
  const pair: ConnectedPair = await connectedPair(kafka, options());
  closers.push(() => pair.close());
  const { prefix } = pair.source;
  const admin = await kafkaClient(kafka.connection, silent).admin();
  await admin.create(
    Object.keys(KEYS).map((table) => ({
      ...{ topic: `${prefix}.shop.${table}`, partitions: 1, config: {} },
    })),
  );
  await admin.close();
  const connector: Debezium = await pair.connect({
    schemas: true,
    properties: {
      'table.include.list': Object.keys(KEYS)
        .map((table) => `shop.${table}`)
        .join(','),
      'skipped.operations': 'none',
    },
  });
  closers.push(() => connector.stop());
  await runScript(pair);
  await expectWhole(pair);
}, 120_000);

test('what our relay sends is, too', async () => {
  const pair = await relayedPair(kafka, { ...options(), layout: 'table' });
  closers.push(() => pair.close());
  const relay = startRelay(pair);
  closers.push(() => relay.stop());
  await runScript(pair);
  await expectWhole(pair);
}, 120_000);
