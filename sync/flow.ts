// One flow from its slot to its target: stream, apply, acknowledge; beside that the copy, the
// heartbeats and the reports. Ends when its signal aborts, fails when going on would lose or garble
// something; its supervisor (process.ts) decides whether it is started again.
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { connect } from '../core/postgres/connect.ts';
import { disconnect } from '../core/postgres/silence.ts';
import { sleep } from '../core/lifecycle.ts';
import type { FlowStatus } from '../control/flow-reports.ts';
import { mappingVersion, tableVersions } from '../control/mapping-version.ts';
import { allOrNone } from './all-or-none.ts';
import { Applier } from './apply.ts';
import type { Applied } from './batch.ts';
import { runBackfill } from './backfill.ts';
import { Copying } from './copying.ts';
import { noteShapes, publishedSince, readShapes, type Shapes } from './drift.ts';
import { DriftWatch } from './drift-watch.ts';
import { CopyPace } from './copy-pace.ts';
import { copyWaits } from './domain/copy-order.ts';
import { targetsOf } from './domain/plan.ts';
import { countConflicts } from './conflicts.ts';
import { FlowFigures } from './flow-figures.ts';
import type { FlowOptions } from './flow-options.ts';
import { planOf } from './flow-plan.ts';
import { firstStage, forgetLeft } from './left-tables.ts';
import { followLetters } from './letters.ts';
import { connectedHome, relayedHome, slotHome } from './log-home.ts';
import { ParkedAlarm } from './parked-alarm.ts';
import { Parking } from './parking.ts';
import { Mutex } from './mutex.ts';
import { explain } from './refusal.ts';
import { Source, sourceTable } from './source.ts';
import { Target } from './target.ts';
import { trust } from './trust.ts';
import { turn, type Stream } from './turn.ts';

const HEARTBEAT_MS = 250;
const REPORT_MS = 250;

/** Runs the flow until the signal aborts. Rejects with FLOW_STOPPED, SLOT_LOST, KAFKA_LOG_LOST, APPLIER_REPLACED or a connection's error. */
export async function runFlow(options: FlowOptions, signal: AbortSignal): Promise<void> {
  const stop = new AbortController();
  const closers: (() => Promise<unknown>)[] = [];
  const onAbort = (): void => {
    stop.abort();
  };
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) stop.abort();
  try {
    await new Flow(options, closers).run(stop);
  } catch (error) {
    throw explain(error);
  } finally {
    signal.removeEventListener('abort', onAbort);
    stop.abort();
    for (const close of closers.reverse()) await close().catch(() => undefined);
  }
}

class Flow {
  readonly #options: FlowOptions;
  readonly #closers: (() => Promise<unknown>)[];
  readonly #session = new Mutex();
  readonly #pause: typeof sleep;

  constructor(options: FlowOptions, closers: (() => Promise<unknown>)[]) {
    this.#options = options;
    this.#closers = closers;
    this.#pause = options.pause ?? sleep;
  }

  async run(stop: AbortController): Promise<void> {
    const { signal } = stop;
    const { id, direction, evidence } = this.#options;
    const [from, into] =
      direction === 'to'
        ? [this.#options.monolith, this.#options.service]
        : [this.#options.service, this.#options.monolith];
    const sourceClient = await this.#open(from.capture, 'read');
    const beatClient = await this.#open(from.capture, 'heartbeat');
    const driftClient = await this.#open(from.capture, 'drift');
    const targetReader = await this.#open(into.applier, 'schema');
    const { plan, names, other, schemas, database } = await planOf(
      this.#options,
      sourceClient,
      targetReader,
      this.#options.references,
    );
    const { relayed, connected, silenceMs } = this.#options;
    const at = { url: from.capture, database, names, silenceMs };
    const home = connected
      ? connectedHome({ ...at, watchUrl: from.applier }, id, connected, other)
      : relayed
        ? relayedHome(at, relayed)
        : slotHome(at);
    await disconnect(targetReader);

    const target = await Target.open(into.applier, names, this.#options.silenceMs);
    this.#closers.push(() => target.close());
    const copying = new Copying(names.flow, randomUUID());
    const source = new Source(sourceClient, home.say);
    const beats = new Source(beatClient, home.say);
    const found = await target.checkpoint(home.kept);
    const { mode } = found;
    const load = (): Promise<void> =>
      copying.load(target.client, plan.sourceOrder, firstStage(direction, mode));
    // First: what no change would arrive of is not begun.
    const shapes = await readShapes(sourceClient, home.publication, plan);
    await forgetLeft(target.client, { flow: names.flow, direction, mode }, plan.sourceOrder);
    await load();
    const side = direction === 'to' ? 'monolith' : 'service';
    const mapping = tableVersions(this.#options.capability.tables, side);
    const copied = { flow: names.flow, direction, mapping, untruncated: plan.untruncated };
    const hole = await home.hole?.(sourceClient, found);
    const again = await noteShapes(
      target.client,
      { ...copied, mode, source: sourceClient, ...(hole !== undefined && { lacks: true }) },
      shapes,
    );
    // Only now: whatever happens before, the copy is not forgotten.
    if (hole !== undefined) await target.confirm(hole);
    const checkpoint = hole === undefined ? found : { ...found, confirmed: hole };
    for (const { table, why } of again)
      this.#options.log.warn('a table is copied again', { capability: id, direction, table, why });
    if (again.length > 0) await load();
    const since = await publishedSince(target.client, names.flow);
    const judged = direction === 'back' ? await countConflicts(target.client, names.flow) : null;
    const figures = new FlowFigures({
      ...{ capability: id, direction, mapping: mappingVersion(this.#options.capability.tables) },
      conflicts: judged,
    });
    const parking = new Parking(names.flow, targetsOf(plan));
    const alarm = new ParkedAlarm(this.#options.log, { capability: id, direction });
    await parking.load(target.client);
    const opened = await home.open(checkpoint, plan, shapes);
    const log = this.#options.wrapLog?.(opened) ?? opened;
    this.#closers.push(() => log.close());
    // What lies before the place where the log begins was committed by now, or runs.
    copying.suspect(await source.snapshot());
    const begin = await target.onTimeline(
      await target.beginningAt(checkpoint, opened.begins),
      log.timeline,
    );
    const sides = (here: pg.Client, there: pg.Client) =>
      direction === 'to' ? { monolith: here, service: there } : { monolith: there, service: here };
    const exclusively = <T>(work: (client: pg.Client) => Promise<T>): Promise<T> =>
      this.#session.run(() => work(target.client));
    const note = (now: Shapes): ReturnType<typeof noteShapes> =>
      exclusively((client) => {
        const own = { ...copied, mode: applier.checkpoint.mode, source: driftClient };
        return noteShapes(client, own, now);
      });
    const drift = new DriftWatch(
      { client: driftClient, publication: home.publication, plan, note },
      shapes,
    );
    const applier: Applier = new Applier(
      target,
      { ...plan, scattered: home.scattered },
      copying,
      parking,
      begin,
      (xids) => schemas.references.reload(beats, xids, sides(beatClient, target.client)),
      // Only with a partition do rows come or go beside the stream.
      [...shapes.values()].some(({ partitions }) => partitions !== undefined)
        ? () => drift.look()
        : undefined,
    );

    const [sourceSchema, targetSchema] =
      direction === 'to'
        ? [schemas.monolith, schemas.service]
        : [schemas.service, schemas.monolith];
    const tables = plan.sourceOrder.map((label) =>
      sourceTable(label, plan.edges.owner, sourceSchema),
    );
    const report = (status?: FlowStatus): Promise<void> =>
      evidence.reportFlow(
        figures.report({
          status: status ?? this.#status(copying),
          position: applier.checkpoint.position,
          incomplete: copying.running,
          copied: copying.progress((table) => sourceSchema.get(table)?.estimatedRows ?? 0),
          parked: parking.size,
        }),
      );
    await report('starting').catch(() => undefined);
    this.#options.onRunning?.();
    await allOrNone(stop, [
      this.#stream(
        { log, applier, session: this.#session },
        (applied) => {
          figures.note(applied, parking.empty);
        },
        signal,
      ),
      followLetters(
        {
          ...{ flow: names.flow, applier, copying, parking, exclusively, pause: this.#pause },
          onLook: (parked, why) => {
            alarm.look(parked, why);
          },
        },
        signal,
      ),
      runBackfill(
        {
          flow: names.flow,
          source,
          tables,
          copying,
          exclusively,
          waits: copyWaits(plan.sourceOrder, plan.edges.owner, targetSchema),
          parallel: this.#options.copyTables ?? 1,
          openSource: async () => {
            const client = await this.#open(from.capture, 'read');
            return { source: new Source(client, home.say), close: () => client.end() };
          },
          pace: new CopyPace({
            rowsPerSecond: this.#options.copyRowsPerSecond,
            ...(this.#options.copyPaused && { paused: this.#options.copyPaused }),
          }),
          ...(this.#options.chunkRows ? { chunkRows: this.#options.chunkRows } : {}),
        },
        signal,
      ),
      this.#beat(beats, names.flow, signal),
      this.#reports(report, signal),
      drift.run(signal, this.#pause),
      schemas.references.watch(
        () => exclusively((client) => schemas.references.load(sides(driftClient, client))),
        this.#pause,
        signal,
      ),
      home.watch(driftClient, signal),
      trust(
        {
          ...{ copying, source: driftClient, since, pause: this.#pause },
          onWait: (transactions) => {
            this.#options.log.warn(
              'the copy waits for transactions that were open when its tables were published',
              { capability: id, direction, transactions },
            );
          },
        },
        signal,
      ),
    ]);
  }

  async #stream(
    stream: Stream,
    note: (applied: Applied) => void,
    signal: AbortSignal,
  ): Promise<void> {
    while (!signal.aborted) {
      const applied = await turn(stream, signal);
      if (applied) note(applied);
    }
  }

  /** The time is taken before the heartbeat is written, so whatever committed before it is in front of it. */
  async #beat(source: Source, flow: string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const at = await this.#options.evidence.now().catch(() => undefined);
      const { xmin, xmax, running } = await source.snapshot();
      await source.emit({
        ...{ kind: 'heartbeat', flow, at: at?.toISOString() ?? null },
        ...{ xmin, xmax, running: [...running] },
      });
      await this.#pause(HEARTBEAT_MS, signal);
    }
  }

  /** Without the control database the flow goes on; only its reports are missing. */
  async #reports(report: () => Promise<void>, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await report().catch((error: unknown) => {
        this.#options.log.warn('the flow could not be reported', { error: String(error) });
      });
      await this.#pause(REPORT_MS, signal);
    }
  }

  #status(copying: Copying): FlowStatus {
    if (copying.copies && this.#options.copyPaused?.()) return 'copy paused';
    if (!copying.running) return 'streaming';
    return copying.waits ? 'copy waits' : 'backfill';
  }

  async #open(url: string, what: string): Promise<pg.Client> {
    const client = await connect(url, {
      applicationName: `banyan-${what}-${this.#options.id}-${this.#options.direction}`,
      silenceMs: this.#options.silenceMs,
    });
    this.#closers.push(() => disconnect(client));
    return client;
  }
}
