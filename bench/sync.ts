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
import { Held, latencies, LATENCY_RATE, percentile, Stream, type Shape } from './stream.ts';
import { mark, openStage, serverToServer, SESSION, until, type Stage } from './sync-stage.ts';

const OURS = 'banyan sync';
const NATIVE = 'logical replication';

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
const shapes: (Shape & { readonly wanted: number })[] = [
  { name: 'inserts, 100 rows a transaction', per: 100, updates: false, rows, wanted: 0.8 },
  { name: 'updates, 100 rows a transaction', per: 100, updates: 'beside', rows, wanted: 0.8 },
  {
    name: 'scattered updates, 100 rows a transaction',
    per: 100,
    updates: 'apart',
    rows,
    wanted: 0.8,
  },
  { name: 'inserts, 1 row a transaction', per: 1, updates: false, rows: rows / 3, wanted: 0.5 },
];
const stage = await openStage();
let held: Contenders | undefined;
try {
  const contenders = await prepare(stage);
  held = contenders;
  // Rows to update later; and the compilers of ours are through with the hot path.
  const next = { first: 1 + rows };
  await stage.shop.query(`CALL load(1, ${rows / 100}, 100, 0)`);
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
    const [p50, p99] = [percentile(sorted, 0.5), percentile(sorted, 0.99)];
    report.figures['commit → visible p50'] = p50;
    report.figures['commit → visible p99'] = p99;
    process.stdout.write(
      `verify of equal rows: ${report.figures['verify of equal rows']} rows/s (wanted: 200000)\n` +
        `commit → visible at ${LATENCY_RATE} changes/s: p50 ${p50} ms (wanted: 20), p99 ${p99} ms (wanted: 100)\n`,
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
