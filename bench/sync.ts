// `npm run bench:sync`: our sync against PostgreSQL's own logical replication, on the same stream and
// the same two servers. Ours maps the rows into another shape and moves its checkpoint with them;
// the other copies them as they are.
import { parseArgs } from 'node:util';
import { writeFile } from 'node:fs/promises';
import { runCases, table, type Case, type Contender } from './harness.ts';
import { stopAll } from './processes.ts';
import { mark, openStage, until, type Stage } from './sync-stage.ts';

const OURS = 'banyan sync';
const NATIVE = 'logical replication';

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

/** One process that is kept from working until its turn comes, warm and connected. */
class Held {
  readonly #pid: number;

  constructor(pid: number) {
    this.#pid = pid;
    process.kill(pid, 'SIGSTOP');
  }

  /** Rows a second until `done`. */
  async drain(rows: number, done: () => Promise<void>): Promise<number> {
    const began = performance.now();
    process.kill(this.#pid, 'SIGCONT');
    try {
      await done();
      return rows / ((performance.now() - began) / 1_000);
    } finally {
      process.kill(this.#pid, 'SIGSTOP');
    }
  }

  release(): void {
    process.kill(this.#pid, 'SIGCONT');
  }
}

interface Contenders {
  readonly sync: Held;
  readonly apply: Held;
}

function drains(
  stage: Stage,
  stream: Stream,
  { sync, apply }: Contenders,
): { ours: Contender; native: Contender } {
  return {
    ours: {
      name: OURS,
      measure: async () => {
        const rows = await stream.rowsFor(OURS);
        const { service } = await mark(stage);
        return sync.drain(rows, () => until(stage.service, service));
      },
    },
    native: {
      name: NATIVE,
      measure: async () => {
        const rows = await stream.rowsFor(NATIVE);
        const { native } = await mark(stage);
        return apply.drain(rows, () => until(stage.native, native));
      },
    },
  };
}

async function prepare(stage: Stage): Promise<Contenders> {
  await stage.shop.query(`SET synchronous_commit = off`);
  await stage.shop.query('CREATE PUBLICATION native FOR TABLE item');
  await stage.native.query(
    `CREATE SUBSCRIPTION native CONNECTION '${stage.shopUrl}' PUBLICATION native WITH (copy_data = false)`,
  );
  await stage.coordinator().move({ capability: 'catalog', event: 'advance' });
  const { pid } = await stage.startSync();
  // The empty copy first: what is measured then is the stream alone.
  await until(stage.service, `SELECT bool_and(stage = 'done') FROM banyan.backfill`);
  await until(stage.native, `SELECT count(*) = 1 FROM pg_stat_subscription WHERE pid IS NOT NULL`);
  const { rows } = await stage.native.query<{ pid: number }>(
    'SELECT pid FROM pg_stat_subscription',
  );
  return { sync: new Held(pid), apply: new Held(rows[0]?.pid ?? 0) };
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
  const contenders = await prepare(stage);
  // Rows to update later; and the compilers of ours are through with the hot path.
  const next = { first: 1 + rows };
  await stage.shop.query(`CALL load(1, ${rows / 100}, 100, false)`);
  const { service, native } = await mark(stage);
  await contenders.sync.drain(rows, () => until(stage.service, service));
  await contenders.apply.drain(rows, () => until(stage.native, native));
  const cases: Case[] = shapes
    .filter(({ name }) => values.only === undefined || name.includes(values.only))
    .map((shape) => {
      const stream = new Stream(stage, shape, [OURS, NATIVE], next);
      const { ours, native } = drains(stage, stream, contenders);
      return {
        name: shape.name,
        unit: 'rows/s',
        better: 'more',
        ours,
        others: [native],
        wanted: { [NATIVE]: shape.wanted },
      };
    });
  const report = await runCases(
    cases,
    { rounds: Number(values.rounds), warmUpMs: 0, roundMs: 0 },
    (line) => process.stderr.write(`${line}\n`),
  );
  contenders.sync.release();
  contenders.apply.release();
  process.stdout.write(`${table(cases, report)}\n`);
  if (values.json !== undefined)
    await writeFile(values.json, `${JSON.stringify(report, null, 2)}\n`);
} finally {
  await stopAll();
  await stage.close();
}
