// `npm run bench:kafka`: the change log in Kafka, on one broker beside both databases. Our relay against
// Debezium's own engine, both feeding the same topics in the same records; then from commit to commit,
// source to Kafka to target, with the mapping of the stage: what is sustained, and how long one takes.
import { parseArgs } from 'node:util';
import { writeFile } from 'node:fs/promises';
import { newTopic, tableTopic, topicPrefix } from '../control/kafka-topics.ts';
import type { Admin } from '../core/kafka/client.ts';
import { kafkaClient } from '../core/kafka/connect.ts';
import { startEmbeddedKafka } from '../core/kafka/embedded.ts';
import { ensureTopics } from '../core/kafka/topics.ts';
import { waitFor } from '../core/lifecycle.ts';
import { createLogger } from '../core/log.ts';
import { startDebezium } from '../test/support/debezium.ts';
import { median, runCases, table, type Case, type Contender, type Report } from './harness.ts';
import { stopAll } from './processes.ts';
import { Held, latencies, LATENCY_RATE, percentile, Stream, type Shape } from './stream.ts';
import { mark, openStage, until, type Stage } from './sync-stage.ts';
import { rssBytesOf } from './usage.ts';

const OURS = 'banyan relay';
const DEBEZIUM = 'Debezium engine';
const DEBEZIUM_PREFIX = 'debezium';
const WANTED = { changes: 15_000, p99Ms: 500, toDebezium: 2, memory: 1 };
/** One that is held says nothing, and is not to be taken for dead. */
const HELD = ['wal_sender_timeout=0'];

interface Plan {
  readonly rounds: number;
  readonly rows: number;
}

/** Drains into a topic that takes one record a change, and notes what its process takes in memory. */
class IntoTopic implements Contender {
  readonly name: string;
  readonly #held: Held;
  readonly #pid: number;
  readonly #topic: string;
  readonly #admin: Admin;
  #stream: Stream;
  /** Where the topic ended last. */
  #before: bigint | undefined;
  #peak = 0;

  constructor(name: string, pid: number, topic: string, admin: Admin, stream: Stream) {
    this.name = name;
    this.#pid = pid;
    this.#topic = topic;
    this.#admin = admin;
    this.#stream = stream;
    this.#held = new Held(name === DEBEZIUM ? -pid : pid);
  }

  get peakBytes(): number {
    return this.#peak;
  }

  /** What is written from now on. */
  follow(stream: Stream): void {
    this.#stream = stream;
  }

  async measure(): Promise<number> {
    const rows = await this.#stream.rowsFor(this.name);
    const begin = await this.#end();
    if (begin !== (this.#before ?? begin))
      throw new Error(`${this.name} has written more than once`);
    const end = begin + BigInt(rows);
    this.#before = end;
    const timer = setInterval(() => {
      this.#peak = Math.max(this.#peak, rssBytesOf(this.#pid));
    }, 100);
    try {
      return await this.#held.drain(rows, async () => {
        await waitFor(async () => (await this.#end()) >= end, {
          ...{ timeoutMs: 300_000, everyMs: 10, what: `${rows} records in ${this.#topic}` },
        });
      });
    } finally {
      clearInterval(timer);
    }
  }

  release(): void {
    this.#held.release();
  }

  async #end(): Promise<bigint> {
    return (await this.#admin.ranges(this.#topic))[0]?.high ?? 0n;
  }
}

/** Both read the same database by slots of their own, and write Debezium's topics without schemas. */
async function relays(broker: string, plan: Plan): Promise<{ report: Report; cases: Case[] }> {
  const prefix = 'banyan';
  const stage = await openStage({
    changeLog: { kafka: { brokers: [broker], prefix, layout: 'table' } },
    settings: HELD,
  });
  const { kafka: connection } = stage.connections;
  const { changeLog } = stage.migration;
  if (!connection || changeLog === 'direct') throw new Error('no Kafka');
  const admin = await kafkaClient(connection, createLogger({}, 'silent')).admin();
  let debezium: Awaited<ReturnType<typeof startDebezium>> | undefined;
  const contenders: IntoTopic[] = [];
  try {
    await stage.shop.query('SET synchronous_commit = off');
    await stage.coordinator().move({ capability: 'catalog', event: 'advance' });
    const relay = await stage.startRelay();
    await relayed(stage);
    const topic = tableTopic(DEBEZIUM_PREFIX, 'item');
    await ensureTopics(
      admin,
      [topic, `${DEBEZIUM_PREFIX}.transaction`].map((one) => newTopic(changeLog.kafka, one, 1)),
    );
    debezium = await startDebezium({
      measured: true,
      url: stage.shopUrl,
      prefix: DEBEZIUM_PREFIX,
      kafka: broker,
      properties: {
        'table.include.list': 'public.item',
        'publication.autocreate.mode': 'filtered',
        'provide.transaction.metadata': 'true',
      },
    });
    const { rows } = plan;
    const shapes: Shape[] = [
      { name: 'relay: inserts, 100 rows a transaction', per: 100, updates: false, rows },
      { name: 'relay: updates, 100 rows a transaction', per: 100, updates: 'beside', rows },
      { name: 'relay: inserts, 1 row a transaction', per: 1, updates: false, rows: rows / 2 },
    ];
    const next = { first: 1 };
    const streamOf = (shape: Shape): Stream => new Stream(stage, shape, [OURS, DEBEZIUM], next);
    const ownTopic = tableTopic(topicPrefix({ prefix }, 'monolith'), 'item');
    const none = streamOf({ name: '', per: 1, updates: false, rows: 0 });
    const ours = new IntoTopic(OURS, relay.pid, ownTopic, admin, none);
    const theirs = new IntoTopic(DEBEZIUM, debezium.pid, topic, admin, none);
    contenders.push(ours, theirs);
    const report: Report = { figures: {}, ratios: {} };
    const cases: Case[] = [];
    for (const shape of shapes) {
      const stream = streamOf(shape);
      for (const one of contenders) one.follow(stream);
      const one: Case = {
        name: shape.name,
        unit: 'changes/s',
        better: 'more',
        ours,
        others: [theirs],
        wanted: { [DEBEZIUM]: WANTED.toDebezium },
      };
      cases.push(one);
      const part = await runCases([one], { ...plan, warmUpMs: 0, roundMs: 0 }, progress);
      Object.assign(report.figures, part.figures);
      Object.assign(report.ratios, part.ratios);
    }
    const memory: Case = {
      name: 'relay: memory at its peak',
      unit: 'MiB',
      better: 'less',
      ours,
      others: [theirs],
      wanted: { [DEBEZIUM]: WANTED.memory },
    };
    cases.push(memory);
    for (const one of contenders)
      report.figures[`${memory.name} / ${one.name}`] = Math.round(one.peakBytes / 1_048_576);
    report.ratios[`${memory.name} / ${DEBEZIUM}`] =
      Math.round((theirs.peakBytes / ours.peakBytes) * 1_000) / 1_000;
    return { report, cases };
  } finally {
    // Whoever is held cannot end.
    for (const one of contenders) one.release();
    await debezium?.stop();
    await admin.close();
    await stopAll();
    await stage.close();
  }
}

/** From the first statement at the source until all of it is at the target: writing it is a part. */
async function endToEnd(broker: string, plan: Plan): Promise<Record<string, number>> {
  const stage = await openStage({ changeLog: { kafka: { brokers: [broker], prefix: 'through' } } });
  const figures: Record<string, number> = {};
  try {
    await stage.shop.query('SET synchronous_commit = off');
    await stage.coordinator().move({ capability: 'catalog', event: 'advance' });
    // In a process of its own; the one that sync brings along stands by.
    await stage.startRelay();
    await relayed(stage);
    await stage.startSync();
    await until(stage.service, `SELECT bool_and(stage = 'done') FROM banyan.backfill`);
    const { rows } = plan;
    const next = { first: 1 };
    const through = async (shape: Shape): Promise<number> => {
      const stream = new Stream(stage, shape, [shape.name], next);
      const began = performance.now();
      const written = await stream.rowsFor(shape.name);
      await until(stage.service, (await mark(stage)).service);
      return written / ((performance.now() - began) / 1_000);
    };
    const shapes: Shape[] = [
      { name: 'end to end: inserts, 100 rows a transaction', per: 100, updates: false, rows },
      { name: 'end to end: updates, 100 rows a transaction', per: 100, updates: 'beside', rows },
      { name: 'end to end: inserts, 1 row a transaction', per: 1, updates: false, rows: rows / 2 },
    ];
    for (const shape of shapes) {
      const samples: number[] = [];
      // The first one is for the compilers.
      for (let round = 0; round <= plan.rounds; round++) {
        const figure = Math.round(await through(shape));
        if (round === 0) continue;
        samples.push(figure);
        progress(`${shape.name}: round ${round}: ${figure} changes/s`);
      }
      figures[shape.name] = Math.round(median(samples));
    }
    const sorted = (await latencies(stage, next)).sort((a, b) => a - b);
    figures['commit → visible p50'] = percentile(sorted, 0.5);
    figures['commit → visible p99'] = percentile(sorted, 0.99);
    return figures;
  } finally {
    await stopAll();
    await stage.close();
  }
}

/** Waits until the relay reads its slot. */
async function relayed(stage: Stage): Promise<void> {
  await until(stage.shop, 'SELECT bool_or(active) FROM pg_replication_slots');
}

function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    rows: { type: 'string', default: '150000' },
    only: { type: 'string' },
  },
});
const plan = { rounds: Number(values.rounds), rows: Number(values.rows) };
const kafka = await startEmbeddedKafka();
try {
  const report: Report = { figures: {}, ratios: {} };
  if (values.only !== 'end to end') {
    const { report: part, cases } = await relays(kafka.address, plan);
    Object.assign(report.figures, part.figures);
    Object.assign(report.ratios, part.ratios);
    process.stdout.write(`${table(cases, part)}\n`);
  }
  if (values.only !== 'relay') {
    const figures = await endToEnd(kafka.address, plan);
    Object.assign(report.figures, figures);
    for (const [name, figure] of Object.entries(figures)) {
      const isTime = name.startsWith('commit');
      const wanted = isTime ? { p50: '-', p99: WANTED.p99Ms }[name.slice(-3)] : WANTED.changes;
      const at = isTime ? ` at ${LATENCY_RATE} changes/s` : '';
      process.stdout.write(
        `${name}${at}: ${figure} ${isTime ? 'ms' : 'changes/s'} (wanted: ${wanted ?? '-'})\n`,
      );
    }
  }
  if (values.json !== undefined)
    await writeFile(values.json, `${JSON.stringify(report, null, 2)}\n`);
} finally {
  await kafka.stop();
}
