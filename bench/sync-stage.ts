// What the benchmarks of sync run on: two PostgreSQL servers, one as the monolith's and one as the
// target's; the monolith's table in its own shape for PostgreSQL's own logical replication, and in
// another one for ours; and `banyan sync` itself as a process of its own.
import { execFileSync } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Knex } from 'knex';
import type pg from 'pg';
import { Coordinator } from '../control/coordinator.ts';
import { resolveConnections, type Connections } from '../control/connections.ts';
import { defineMigration } from '../control/define.ts';
import type { Migration, MigrationInput } from '../control/definition.ts';
import { scale, values } from '../control/lenses.ts';
import { migrateControl, openControl } from '../control/store.ts';
import { createLogger } from '../core/log.ts';
import { waitFor } from '../core/lifecycle.ts';
import { connect } from '../core/postgres/connect.ts';
import { startEmbedded, type EmbeddedPostgres } from '../core/postgres/embedded.ts';
import { MAIN } from './banyan.ts';
import { start, type Started } from './processes.ts';

export const SESSION = { applicationName: 'banyan-bench' };

const ITEM = `CREATE TABLE item (
  item_no bigint PRIMARY KEY,
  sku varchar(40) NOT NULL,
  nm text NOT NULL,
  prc numeric(12,2) NOT NULL,
  sts char(1) NOT NULL,
  qty integer NOT NULL,
  dsc text,
  upd timestamptz NOT NULL)`;

const PRODUCT = `CREATE TABLE product (
  id bigint PRIMARY KEY,
  sku text NOT NULL,
  name text NOT NULL,
  price_cents bigint NOT NULL,
  state text NOT NULL,
  stock integer NOT NULL,
  body text,
  updated_at timestamptz NOT NULL)`;

/** Row `i`, as the benchmarks write it. */
export const ROW = `i, 'SKU-' || i, 'Product number ' || i, (i % 100000) / 100.0, CASE WHEN i % 7 = 0 THEN 'D' ELSE 'A' END, i % 1000,
  'A short description of product number ' || i || ' that is not very long', clock_timestamp()`;

/**
 * `txs` transactions of `per` rows each; inserts from row `first` on, or with a stride updates of those rows, each
 * once, in steps of it.
 */
const LOADER = `CREATE PROCEDURE load(first bigint, txs integer, per integer, stride integer) LANGUAGE plpgsql AS $$
BEGIN
  FOR tx IN 0 .. txs - 1 LOOP
    IF stride > 0 THEN
      UPDATE item SET prc = prc + 1, qty = qty + 1, upd = clock_timestamp()
       WHERE item_no = ANY (ARRAY(SELECT first + (tx::bigint * per + i) * stride % (txs::bigint * per)
                                    FROM generate_series(0, per - 1) i));
    ELSIF per = 1 THEN
      -- A statement that costs as little as it can: all share the processor with who is measured.
      INSERT INTO item SELECT ${ROW} FROM (SELECT first + tx AS i) one;
    ELSE
      INSERT INTO item SELECT ${ROW} FROM generate_series(first + tx::bigint * per, first + (tx + 1)::bigint * per - 1) i;
    END IF;
    COMMIT;
  END LOOP;
END $$`;

export interface Stage {
  /** The monolith's database. */
  readonly shop: pg.Client;
  readonly shopUrl: string;
  /** Ours, and the one that PostgreSQL's own replication fills. */
  readonly service: pg.Client;
  readonly native: pg.Client;
  readonly nativeUrl: string;
  readonly migration: Migration;
  readonly connections: Connections;
  readonly db: Knex;
  readonly controlUrl: string;
  coordinator(): Coordinator;
  /** Starts `banyan sync`, or `banyan relay`; resolves when it says that it is ready. */
  startSync(): Promise<Started>;
  startRelay(): Promise<Started>;
  close(): Promise<void>;
}

export interface StageOptions {
  readonly changeLog?: MigrationInput['changeLog'];
  /** Of both servers, beside ours. */
  readonly settings?: readonly string[];
}

/** Starts both servers, empty tables, and a publication for PostgreSQL's own replication. */
export async function openStage(options: StageOptions = {}): Promise<Stage> {
  const settings = [
    ...['track_commit_timestamp=on', 'max_wal_size=8GB', 'shared_buffers=512MB'],
    ...(options.settings ?? []),
  ];
  const servers: EmbeddedPostgres[] = [];
  for (let one = 0; one < 2; one++) servers.push(await startEmbedded({ settings }));
  const [left, right] = servers as [EmbeddedPostgres, EmbeddedPostgres];
  const urls = {
    shop: await left.createDatabase('shop'),
    service: await right.createDatabase('service'),
    native: await right.createDatabase('native'),
    control: await right.createDatabase('control'),
  };
  const shop = await connect(urls.shop, SESSION);
  const service = await connect(urls.service, SESSION);
  const native = await connect(urls.native, SESSION);
  await shop.query(ITEM);
  await shop.query(LOADER);
  await native.query(ITEM);
  await service.query(PRODUCT);
  const side = (url: string) => ({ capture: url, applier: url, coordinator: url });
  const migration = defineMigration({
    control: urls.control,
    ...(options.changeLog && { changeLog: options.changeLog }),
    monolith: { upstream: 'http://127.0.0.1:1', database: side(urls.shop) },
    services: {
      catalog: { upstream: 'http://127.0.0.1:2', database: side(urls.service) },
    },
    capabilities: {
      catalog: {
        service: 'catalog',
        routes: ['/products/**'],
        tables: [
          {
            monolith: 'item',
            service: 'product',
            key: { item_no: 'id' },
            columns: {
              sku: 'sku',
              nm: 'name',
              prc: scale('price_cents', 100),
              sts: values('state', { A: 'active', D: 'discontinued' }),
              qty: 'stock',
              dsc: 'body',
              upd: 'updated_at',
            },
          },
        ],
      },
    },
  });
  await migrateControl(urls.control);
  const connections = resolveConnections(migration, {});
  const db = openControl(urls.control);
  const folder = await mkdtemp(path.join(tmpdir(), 'banyan-bench-'));
  const config = path.join(folder, 'banyan.config.mjs');
  await writeFile(config, `export default ${JSON.stringify(migration)};\n`);
  const startCommand = (name: 'sync' | 'relay'): Promise<Started> => {
    const profile = process.env['BENCH_PROF'] === name ? ['--cpu-prof'] : [];
    return start({
      place: 'helper',
      command: process.execPath,
      args: [...process.execArgv, ...profile, MAIN, '--config', config, '--json', name],
    });
  };
  return {
    ...{ shop, service, native, migration, connections, db },
    shopUrl: urls.shop,
    nativeUrl: urls.native,
    controlUrl: urls.control,
    coordinator: () =>
      new Coordinator({
        ...{ migration, connections, db, who: 'bench' },
        controlUrl: urls.control,
        log: createLogger({}, 'silent'),
      }),
    startSync: () => startCommand('sync'),
    startRelay: () => startCommand('relay'),
    close: async () => {
      for (const client of [shop, service, native]) await client.end();
      await db.destroy();
      for (const server of servers) await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Copies the monolith's table from one server to the other through a pipe, with nobody in between. */
export async function serverToServer(stage: Stage): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'banyan-pipe-'));
  const pipe = path.join(folder, 'rows');
  try {
    execFileSync('mkfifo', [pipe]);
    // The servers may run as somebody else.
    await chmod(folder, 0o755);
    await chmod(pipe, 0o666);
    const source = await connect(stage.shopUrl, SESSION);
    try {
      await Promise.all([
        source.query(`COPY item TO '${pipe}'`),
        stage.native.query(`COPY item FROM '${pipe}'`),
      ]);
    } finally {
      await source.end();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The row by which a contender is seen to have come to the end of the stream. */
const MARK_ROW = 0;
let marks = 0;

/** Ends the stream as it stands; gives the query that is true where it has arrived. */
export async function mark(stage: Stage): Promise<Readonly<Record<'service' | 'native', string>>> {
  marks += 1;
  await stage.shop.query(
    `INSERT INTO item VALUES (${MARK_ROW}, 'mark', 'mark', 0, 'A', ${marks}, NULL, now())
       ON CONFLICT (item_no) DO UPDATE SET qty = excluded.qty`,
  );
  return {
    service: `SELECT count(*) = 1 FROM product WHERE id = ${MARK_ROW} AND stock >= ${marks}`,
    native: `SELECT count(*) = 1 FROM item WHERE item_no = ${MARK_ROW} AND qty >= ${marks}`,
  };
}

/** Polls until the query's only value is true. */
export async function until(
  client: pg.Client,
  text: string,
  values: readonly unknown[] = [],
): Promise<void> {
  await waitFor(
    async () => {
      const { rows } = await client.query<unknown[]>({
        text,
        values: [...values],
        rowMode: 'array',
      });
      return rows[0]?.[0] === true;
    },
    { timeoutMs: 300_000, everyMs: 5, what: text },
  );
}
