// One flow from its slot to its target: stream, apply, acknowledge; beside that the copy, the
// heartbeats and the reports. Ends when its signal aborts, fails when going on would lose or garble
// something; its supervisor (process.ts) decides whether it is started again.
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import { connect } from '../core/postgres/connect.ts';
import { formatLsn, type Position } from '../core/postgres/lsn.ts';
import { sleep } from '../core/lifecycle.ts';
import type { Logger } from '../core/log.ts';
import type { Capability } from '../control/definition.ts';
import type { Evidence, FlowReport, FlowStatus } from '../control/evidence.ts';
import type { Direction } from '../control/domain/flow.ts';
import { flowNames, type FlowNames } from '../control/domain/names.ts';
import { Applier } from './apply.ts';
import type { Applied } from './batch.ts';
import { runBackfill } from './backfill.ts';
import type { ChangeLog, OpenChangeLog } from './change-log.ts';
import { Copying } from './copying.ts';
import { LagWindow } from './domain/lag.ts';
import { planFlow, targetsOf, type FlowPlan } from './domain/plan.ts';
import { countConflicts } from './conflicts.ts';
import { followLetters } from './letters.ts';
import { Parking } from './parking.ts';
import type { Schemas } from './domain/mapping.ts';
import { Mutex } from './mutex.ts';
import { explain } from './refusal.ts';
import { openSlotLog } from './slot-log.ts';
import { databaseOf, readSchemas } from './schemas.ts';
import { Source, sourceTable } from './source.ts';
import { Target } from './target.ts';

/** The logins of the two databases that a capability joins. */
export interface Logins {
  readonly capture: string;
  readonly applier: string;
}

export interface FlowOptions {
  readonly id: string;
  readonly capability: Capability;
  readonly direction: Direction;
  readonly monolith: Logins;
  readonly service: Logins;
  readonly evidence: Evidence;
  readonly log: Logger;
  /** Stands between the slot and the applier; tests and fault injection use it. */
  readonly wrapLog?: (log: ChangeLog) => ChangeLog;
  readonly chunkRows?: number;
}

const HEARTBEAT_MS = 250;
const REPORT_MS = 250;

/** Runs the flow until the signal aborts. Rejects with FLOW_STOPPED, SLOT_LOST, APPLIER_REPLACED or a connection's error. */
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
  readonly #lag = new LagWindow();
  readonly #session = new Mutex();
  #watermark: string | null = null;
  #applied = 0;
  #conflicts: number | null = null;
  #overtaken = 0;

  constructor(options: FlowOptions, closers: (() => Promise<unknown>)[]) {
    this.#options = options;
    this.#closers = closers;
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
    const targetReader = await this.#open(into.applier, 'schema');
    const { plan, names, schemas } = await this.#plan(sourceClient, targetReader);
    await targetReader.end();

    const target = await Target.open(into.applier, names);
    this.#closers.push(() => target.close());
    const copying = new Copying(names.flow, randomUUID());
    const source = new Source(sourceClient);
    await copying.load(target.client, plan.sourceOrder, direction === 'to' ? 'prune' : 'done');
    copying.suspect(await source.snapshot());
    if (direction === 'back') this.#conflicts = await countConflicts(target.client, names.flow);
    const parking = new Parking(names.flow, targetsOf(plan));
    await parking.load(target.client);
    const applier = new Applier(target, plan, copying, parking, await target.checkpoint());

    const open: OpenChangeLog = (position) =>
      openSlotLog(
        { url: from.capture, slot: names.slot, publication: names.publication },
        position,
      );
    const opened = await open(applier.checkpoint.position);
    const log = this.#options.wrapLog?.(opened) ?? opened;
    this.#closers.push(() => log.close());
    assertTimeline(names.flow, applier.checkpoint.position, log.timeline);

    const sourceSchema = direction === 'to' ? schemas.monolith : schemas.service;
    const tables = plan.sourceOrder.map((label) =>
      sourceTable(label, plan.edges.owner, sourceSchema),
    );
    const exclusively = <T>(work: (client: pg.Client) => Promise<T>): Promise<T> =>
      this.#session.run(() => work(target.client));
    const report = (status?: FlowStatus): Promise<void> =>
      evidence.reportFlow(
        this.#report(
          id,
          status ?? (copying.running ? 'backfill' : 'streaming'),
          applier,
          copying,
          parking,
          (table) => sourceSchema.get(table)?.estimatedRows ?? 0,
        ),
      );
    await report('starting').catch(() => undefined);
    await allOrNone(stop, [
      this.#stream(log, applier, parking, signal),
      followLetters({ flow: names.flow, applier, copying, parking, exclusively }, signal),
      runBackfill(
        {
          flow: names.flow,
          source,
          tables,
          copying,
          exclusively,
          ...(this.#options.chunkRows ? { chunkRows: this.#options.chunkRows } : {}),
        },
        signal,
      ),
      this.#beat(new Source(beatClient), names.flow, signal),
      this.#reports(report, signal),
    ]);
  }

  async #stream(
    log: ChangeLog,
    applier: Applier,
    parking: Parking,
    signal: AbortSignal,
  ): Promise<void> {
    while (!signal.aborted) {
      const pieces = await log.read(signal);
      if (pieces.length === 0) continue;
      const applied = await this.#session.run(() => applier.apply(pieces));
      if (applied.endLsn !== undefined) log.acknowledge(applied.endLsn);
      this.#note(applied, parking.empty);
    }
  }

  /** With a change parked the target is not complete, whatever came after it. */
  #note(applied: Applied, complete: boolean): void {
    const now = Date.now();
    for (const commitMs of applied.commitTimes) this.#lag.add(now - commitMs);
    this.#applied += applied.changes;
    if (this.#conflicts !== null) this.#conflicts += applied.conflicts;
    this.#overtaken += applied.overtaken;
    if (applied.watermark !== undefined && complete) this.#watermark = applied.watermark;
  }

  /** The time is taken before the heartbeat is written, so whatever committed before it is in front of it. */
  async #beat(source: Source, flow: string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const at = await this.#options.evidence.now().catch(() => undefined);
      const { xmin } = await source.snapshot();
      await source.emit({ kind: 'heartbeat', flow, at: at?.toISOString() ?? null, xmin });
      await sleep(HEARTBEAT_MS, signal);
    }
  }

  /** Without the control database the flow goes on; only its reports are missing. */
  async #reports(report: () => Promise<void>, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await report().catch((error: unknown) => {
        this.#options.log.warn('the flow could not be reported', { error: String(error) });
      });
      await sleep(REPORT_MS, signal);
    }
  }

  #report(
    capability: string,
    status: FlowStatus,
    applier: Applier,
    copying: Copying,
    parking: Parking,
    estimate: (table: string) => number,
  ): FlowReport {
    const { timeline, commitLsn, seq } = applier.checkpoint.position;
    return {
      capability,
      direction: this.#options.direction,
      status,
      errorCode: null,
      error: null,
      position: `${timeline}/${formatLsn(commitLsn)}/${seq}`,
      watermark: copying.running ? null : this.#watermark,
      lagP50Ms: this.#lag.percentile(0.5),
      lagP99Ms: this.#lag.percentile(0.99),
      applied: this.#applied,
      backfill: this.#options.direction === 'to' ? copying.progress(estimate) : null,
      parked: parking.size,
      conflicts: this.#conflicts,
      overtaken: this.#options.direction === 'to' ? this.#overtaken : null,
    };
  }

  async #open(url: string, what: string): Promise<pg.Client> {
    const client = await connect(url, {
      applicationName: `banyan-${what}-${this.#options.id}-${this.#options.direction}`,
    });
    this.#closers.push(() => client.end());
    return client;
  }

  async #plan(
    source: pg.Client,
    target: pg.Client,
  ): Promise<{ plan: FlowPlan; names: FlowNames; schemas: Schemas }> {
    const { id, capability, direction } = this.#options;
    const [monolith, service] = direction === 'to' ? [source, target] : [target, source];
    const schemas = await readSchemas(capability, monolith, service);
    const databases = { monolith: await databaseOf(monolith), service: await databaseOf(service) };
    const to = flowNames(id, 'to', { source: databases.monolith, target: databases.service });
    const back = flowNames(id, 'back', { source: databases.service, target: databases.monolith });
    const [names, other] = direction === 'to' ? [to, back] : [back, to];
    const plan = planFlow(capability.tables, schemas, {
      capability: id,
      direction,
      names,
      echoOrigin: other.origin,
      conflicts: capability.canary.conflicts,
    });
    return { plan, names, schemas };
  }
}

/** The first to fail stops the others; all have ended when this settles. */
async function allOrNone(stop: AbortController, parts: readonly Promise<void>[]): Promise<void> {
  const guarded = parts.map((part) =>
    part.catch((error: unknown) => {
      stop.abort();
      throw error;
    }),
  );
  const results = await Promise.allSettled(guarded);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}

function assertTimeline(flow: string, position: Position, timeline: number): void {
  if (position.timeline === timeline) return;
  throw new BanyanError(
    'FLOW_STOPPED',
    `the source of flow ${flow} is on timeline ${timeline}, the checkpoint on ${position.timeline}: another server was promoted`,
    {
      hint: 'What was applied may never have reached the new server: roll back to monolith and start sync anew.',
    },
  );
}
