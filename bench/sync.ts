// `npm run bench:sync`: our sync against PostgreSQL's own logical replication, on the same stream and
// the same two servers. Ours maps the rows into another shape and moves its checkpoint with them;
// the other copies them as they are.
import { parseArgs } from 'node:util';
import { writeFile } from 'node:fs/promises';
import { runCases, table, type Case, type Contender } from './harness.ts';
import { stopAll } from './processes.ts';
import { openStage, slotActive, until, walEnd, type Stage } from './sync-stage.ts';

interface Shape {
  readonly name: string;
  readonly per: number;
  readonly updates: boolean;
  readonly rows: number;
  readonly wanted: number;
}

/** Writes once a round what every contender then drains. */
class Stream {
  readonly #stage: Stage;
  readonly #shape: Shape;
  readonly #behind = new Map<string, number>();
  #next: { first: number };

  constructor(stage: Stage, shape: Shape, contenders: readonly string[], next: { first: number }) {
    this.#stage = stage;
    this.#shape = shape;
    this.#next = next;
    for (const name of contenders) this.#behind.set(name, 0);
  }

  /** Rows that this contender has to drain. */
  async rowsFor(name: string): Promise<number> {
    if (this.#behind.get(name) === 0) await this.#write();
    const rows = this.#behind.get(name) ?? 0;
    this.#behind.set(name, 0);
    return rows;
  }

  async #write(): Promise<void> {
    const { rows, per, updates } = this.#shape;
    const txs = Math.round(rows / per);
    const written = txs * per;
    const first = updates ? this.#next.first - written : this.#next.first;
    await this.#stage.shop.query(`CALL load(${first}, ${txs}, ${per}, ${updates})`);
    if (!updates) this.#next.first += written;
    for (const [name, behind] of this.#behind) this.#behind.set(name, behind + written);
  }
}

function drains(stage: Stage, stream: Stream): { ours: Contender; native: Contender } {
  const timed = async (slot: string, rows: number, done: () => Promise<void>): Promise<number> => {
    await slotActive(stage, slot);
    const began = performance.now();
    await done();
    return rows / ((performance.now() - began) / 1_000);
  };
  return {
    ours: {
      name: 'banyan sync',
      measure: async () => {
        const rows = await stream.rowsFor('banyan sync');
        const end = await walEnd(stage);
        const starting = stage.startSync();
        const figure = await timed('banyan%', rows, () =>
          until(stage.service, 'SELECT commit_lsn >= $1::pg_lsn FROM banyan.checkpoint', [end]),
        );
        await (await starting).stop();
        return figure;
      },
    },
    native: {
      name: 'logical replication',
      measure: async () => {
        const rows = await stream.rowsFor('logical replication');
        const end = await walEnd(stage);
        await stage.native.query('ALTER SUBSCRIPTION native ENABLE');
        const figure = await timed('native', rows, () =>
          until(
            stage.native,
            `SELECT pg_replication_origin_progress('pg_' || oid, false) >= $1::pg_lsn FROM pg_subscription WHERE subname = 'native'`,
            [end],
          ),
        );
        await stage.native.query('ALTER SUBSCRIPTION native DISABLE');
        await until(
          stage.shop,
          `SELECT NOT active FROM pg_replication_slots WHERE slot_name = 'native'`,
        );
        return figure;
      },
    },
  };
}

async function prepare(stage: Stage): Promise<void> {
  await stage.shop.query(`SET synchronous_commit = off`);
  await stage.shop.query('CREATE PUBLICATION native FOR TABLE item');
  await stage.shop.query(`SELECT pg_create_logical_replication_slot('native', 'pgoutput')`);
  await stage.native.query(
    `CREATE SUBSCRIPTION native CONNECTION '${stage.shopUrl}' PUBLICATION native
       WITH (create_slot = false, slot_name = native, enabled = false, copy_data = false)`,
  );
  await stage.native
    .query('ALTER SUBSCRIPTION native REFRESH PUBLICATION WITH (copy_data = false)')
    .catch(() => undefined);
  await stage.coordinator().move({ capability: 'catalog', event: 'advance' });
  // The empty copy first: what is measured then is the stream alone.
  const sync = await stage.startSync();
  await until(stage.service, `SELECT bool_and(stage = 'done') FROM banyan.backfill`);
  await sync.stop();
}

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    rows: { type: 'string', default: '300000' },
    only: { type: 'string' },
  },
});
const rows = Number(values.rows);
const shapes: Shape[] = [
  { name: 'inserts, 100 rows a transaction', per: 100, updates: false, rows, wanted: 0.8 },
  { name: 'updates, 100 rows a transaction', per: 100, updates: true, rows, wanted: 0.8 },
  { name: 'inserts, 1 row a transaction', per: 1, updates: false, rows: rows / 3, wanted: 0.5 },
];
const stage = await openStage();
try {
  await prepare(stage);
  const next = { first: 1 };
  const cases: Case[] = shapes
    .filter(({ name }) => values.only === undefined || name.includes(values.only))
    .map((shape) => {
      const stream = new Stream(stage, shape, ['banyan sync', 'logical replication'], next);
      const { ours, native } = drains(stage, stream);
      return {
        name: shape.name,
        unit: 'rows/s',
        better: 'more',
        ours,
        others: [native],
        wanted: { 'logical replication': shape.wanted },
      };
    });
  const report = await runCases(
    cases,
    { rounds: Number(values.rounds), warmUpMs: 0, roundMs: 0 },
    (line) => process.stderr.write(`${line}\n`),
  );
  process.stdout.write(`${table(cases, report)}\n`);
  if (values.json !== undefined)
    await writeFile(values.json, `${JSON.stringify(report, null, 2)}\n`);
} finally {
  await stopAll();
  await stage.close();
}
