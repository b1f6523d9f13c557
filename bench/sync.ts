// `npm run bench:sync`: our sync against PostgreSQL's own logical replication, on the same stream and
// the same two servers. Ours maps the rows into another shape and moves its checkpoint with them;
// the other copies them as they are.
import { parseArgs } from 'node:util';
import { writeFile } from 'node:fs/promises';
import { StateStore } from '../control/store.ts';
import { sleep } from '../core/lifecycle.ts';
import { connect } from '../core/postgres/connect.ts';
import { verify } from '../sync/index.ts';
import { median, runCases, table, type Case, type Contender } from './harness.ts';
import { stopAll } from './processes.ts';
import { mark, openStage, ROW, serverToServer, SESSION, until, type Stage } from './sync-stage.ts';

const LATENCY_RATE = 2_000;
const LATENCY_MS = 15_000;
const TICKS_PER_SECOND = 200;
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

  /** Lets it go; nothing happens where it has ended. */
  release(): void {
    try {
      process.kill(this.#pid, 'SIGCONT');
    } catch {
      // It has ended.
    }
  }
}

interface Contenders {
  readonly sync: Held;
  readonly apply: Held;
  /** Ends ours. */
  stop(): Promise<void>;
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
  const started = await stage.startSync();
  // The empty copy first: what is measured then is the stream alone.
  await until(stage.service, `SELECT bool_and(stage = 'done') FROM banyan.backfill`);
  await until(stage.native, `SELECT count(*) = 1 FROM pg_stat_subscription WHERE pid IS NOT NULL`);
  const { rows } = await stage.native.query<{ pid: number }>(
    'SELECT pid FROM pg_stat_subscription',
  );
  return {
    sync: new Held(started.pid),
    apply: new Held(rows[0]?.pid ?? 0),
    stop: () => started.stop(),
  };
}

/** Milliseconds from the answer to a commit at the source until its rows are seen at the target. */
async function latencies(stage: Stage, next: { first: number }): Promise<number[]> {
  const ticks = (LATENCY_MS / 1_000) * TICKS_PER_SECOND;
  const per = LATENCY_RATE / TICKS_PER_SECOND;
  const waiting: { readonly last: number; readonly at: number }[] = [];
  const found: number[] = [];
  const over = new AbortController();
  const look = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const { rows } = await stage.service.query<{ last: string }>(
        'SELECT max(id)::text AS last FROM product',
      );
      const now = performance.now();
      const last = Number(rows[0]?.last);
      for (let one = waiting[0]; one && one.last <= last; one = waiting[0]) {
        found.push(now - one.at);
        waiting.shift();
      }
      await sleep(1);
    }
  };
  const looking = look();
  // What is not on the source's disk is not sent.
  await stage.shop.query('SET synchronous_commit = on');
  const began = performance.now();
  for (let tick = 0; tick < ticks; tick++) {
    await sleep(Math.max(0, began + (tick * 1_000) / TICKS_PER_SECOND - performance.now()));
    const last = next.first + per - 1;
    await stage.shop.query(
      `INSERT INTO item SELECT ${ROW} FROM generate_series($1::bigint, $2::bigint) i`,
      [next.first, last],
    );
    waiting.push({ last, at: performance.now() });
    next.first = last + 1;
  }
  await sleep(2_000);
  over.abort();
  await looking;
  if (waiting.length > 0) throw new Error(`${waiting.length} commits have not arrived`);
  return found;
}

/** Our copy beside the stream against a COPY from server to server, both while rows are written. */
function copies(stage: Stage): Case {
  const rowsNow = async (): Promise<number> => {
    const { rows } = await stage.shop.query<{ n: string }>('SELECT count(*) AS n FROM item');
    return Number(rows[0]?.n);
  };
  const whileWriting = async (work: () => Promise<number>): Promise<number> => {
    const over = new AbortController();
    const writer = await connect(stage.shopUrl, SESSION);
    const writing = (async () => {
      for (let row = 1; !over.signal.aborted; row++) {
        await writer.query('UPDATE item SET qty = qty + 1 WHERE item_no = $1', [row]);
        await sleep(2);
      }
    })();
    try {
      return await work();
    } finally {
      over.abort();
      await writing;
      await writer.end();
    }
  };
  return {
    name: 'copy of the table, under writes',
    unit: 'rows/s',
    better: 'more',
    wanted: { 'COPY to COPY': 0.5 },
    ours: {
      name: OURS,
      measure: async () => {
        const coordinator = stage.coordinator();
        if ((await new StateStore(stage.db).readOne('catalog')).phase !== 'monolith')
          await coordinator.move({ capability: 'catalog', event: 'rollback' });
        await stage.service.query('TRUNCATE product');
        await coordinator.move({ capability: 'catalog', event: 'advance' });
        const rows = await rowsNow();
        return whileWriting(async () => {
          const begun = `SELECT bool_or(rows > 0) FROM banyan.backfill`;
          const done = `SELECT bool_and(stage = 'done') FROM banyan.backfill`;
          const sync = await stage.startSync();
          await until(stage.service, begun);
          const began = performance.now();
          const { rows: first } = await stage.service.query<{ n: string }>(
            'SELECT sum(rows) AS n FROM banyan.backfill',
          );
          await until(stage.service, done);
          const took = performance.now() - began;
          await sync.stop();
          return (rows - Number(first[0]?.n)) / (took / 1_000);
        });
      },
    },
    others: [
      {
        name: 'COPY to COPY',
        measure: async () => {
          await stage.native.query('TRUNCATE item');
          const rows = await rowsNow();
          return whileWriting(async () => {
            const began = performance.now();
            await serverToServer(stage);
            return rows / ((performance.now() - began) / 1_000);
          });
        },
      },
    ],
  };
}

/** Rows a second that a verification compares, on equal data. */
async function verified(stage: Stage): Promise<number> {
  const { catalog } = stage.migration.capabilities;
  const { monolith, services } = stage.connections;
  const service = services['catalog']?.database;
  if (!catalog || !monolith.database || !service) throw new Error('no databases');
  const began = performance.now();
  const outcome = await verify({
    ...{ id: 'catalog', capability: catalog, monolith: monolith.database, service },
  });
  if (outcome.missing + outcome.extra + outcome.different > 0) throw new Error('not equal');
  return outcome.rows / ((performance.now() - began) / 1_000);
}

const progress = (line: string): void => {
  process.stderr.write(`${line}\n`);
};
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
let held: Contenders | undefined;
try {
  const contenders = await prepare(stage);
  held = contenders;
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
    progress,
  );
  contenders.sync.release();
  process.stdout.write(`${table(cases, report)}\n`);
  if (values.only === undefined) {
    const speeds: number[] = [];
    for (let round = 0; round < 3; round++) speeds.push(await verified(stage));
    report.figures['verify of equal rows'] = Math.round(median(speeds));
    const sorted = (await latencies(stage, next)).sort((a, b) => a - b);
    const percentile = (share: number): number =>
      Math.round((sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN) * 10) / 10;
    report.figures['commit → visible p50'] = percentile(0.5);
    report.figures['commit → visible p99'] = percentile(0.99);
    process.stdout.write(
      `verify of equal rows: ${report.figures['verify of equal rows']} rows/s (wanted: 200000)\n` +
        `commit → visible at ${LATENCY_RATE} changes/s: p50 ${percentile(0.5)} ms (wanted: 20), p99 ${percentile(0.99)} ms (wanted: 100)\n`,
    );
  }
  contenders.apply.release();
  if (values.only === undefined || values.only === 'copy') {
    await contenders.stop();
    await stage.native.query('DROP SUBSCRIPTION native');
    const one = copies(stage);
    const copied = await runCases([one], { rounds: 3, warmUpMs: 0, roundMs: 0 }, progress);
    Object.assign(report.figures, copied.figures);
    Object.assign(report.ratios, copied.ratios);
    process.stdout.write(`${table([one], copied)}\n`);
  }
  if (values.json !== undefined)
    await writeFile(values.json, `${JSON.stringify(report, null, 2)}\n`);
} finally {
  // Whoever is held cannot end.
  held?.sync.release();
  held?.apply.release();
  await stopAll();
  await stage.close();
}
