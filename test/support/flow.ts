// The parts of one flow, put together by hand: for tests that must stand between two of them at an
// exact moment. The capability must have advanced to a phase in which the flow exists.
import { connect } from '../../core/postgres/connect.ts';
import type { Direction } from '../../control/domain/flow.ts';
import { flowNames } from '../../control/domain/names.ts';
import { Applier } from '../../sync/apply.ts';
import { runBackfill } from '../../sync/backfill.ts';
import type { ChangeLog } from '../../sync/change-log.ts';
import { CopyPace } from '../../sync/copy-pace.ts';
import { Copying } from '../../sync/copying.ts';
import { decodeLine, linesOf } from '../../sync/domain/copy-lines.ts';
import { planFlow, targetsOf } from '../../sync/domain/plan.ts';
import { databaseOf, readSchemas } from '../../sync/schemas.ts';
import { Mutex } from '../../sync/mutex.ts';
import { Parking } from '../../sync/parking.ts';
import { openSlotLog } from '../../sync/slot-log.ts';
import { Source, sourceTable } from '../../sync/source.ts';
import { Target } from '../../sync/target.ts';
import { SESSION, type Pair } from './pair.ts';

export interface FlowParts {
  readonly target: Target;
  readonly log: ChangeLog;
  readonly copying: Copying;
  /** A further one on the same session, at the checkpoint as it stands now. */
  applier(): Promise<Applier>;
  /** Applies the stream and copies beside it until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export interface FlowPartsOptions {
  readonly direction?: Direction;
  readonly pieceLimit?: number;
  readonly chunkRows?: number;
  /** Called when a chunk of a table has been read and its high mark is not written yet. */
  readonly afterRead?: (table: string, keys: readonly string[]) => Promise<void>;
}

export async function openFlow(pair: Pair, options: FlowPartsOptions = {}): Promise<FlowParts> {
  const direction = options.direction ?? 'to';
  const names = {
    monolith: await databaseOf(pair.monolith),
    service: await databaseOf(pair.service),
  };
  const logins = {
    monolith: pair.connections.monolith.database,
    service: pair.connections.services['catalog']?.database,
  };
  const [from, into] =
    direction === 'to' ? (['monolith', 'service'] as const) : (['service', 'monolith'] as const);
  const capability = pair.migration.capabilities['catalog'];
  const [capture, applier] = [logins[from]?.capture, logins[into]?.applier];
  if (!capability || capture === undefined || applier === undefined) throw new Error('no logins');
  const flow = flowNames('catalog', direction, { source: names[from], target: names[into] });
  const echo = flowNames('catalog', direction === 'to' ? 'back' : 'to', {
    source: names[into],
    target: names[from],
  });
  const schemas = await readSchemas(capability, pair.monolith, pair.service);
  const plan = planFlow(capability.tables, schemas, {
    capability: 'catalog',
    direction,
    names: flow,
    echoOrigin: echo.origin,
    conflicts: capability.canary.conflicts,
  });
  const target = await Target.open(applier, flow);
  const copying = new Copying(flow.flow, 'test');
  await copying.load(target.client, plan.sourceOrder, direction === 'to' ? 'prune' : 'done');
  const reader = await connect(capture, SESSION);
  const source = new Hooked(reader);
  source.afterRead = options.afterRead;
  const { position } = await target.checkpoint();
  const log = await openSlotLog(
    {
      url: capture,
      slot: flow.slot,
      publication: flow.publication,
      // The last one's server process may still be there.
      seizes: true,
      ...(options.pieceLimit !== undefined && { pieceLimit: options.pieceLimit }),
    },
    position,
  );
  const session = new Mutex();
  const parking = new Parking(flow.flow, targetsOf(plan));
  await parking.load(target.client);
  const make = async (): Promise<Applier> =>
    new Applier(target, plan, copying, parking, await target.checkpoint(), (xids) =>
      schemas.references.reload(source, xids, pair),
    );
  return {
    target,
    log,
    copying,
    applier: make,
    run: async (signal) => {
      const own = await make();
      const stream = async (): Promise<void> => {
        while (!signal.aborted) {
          const pieces = await log.read(signal);
          const applied = await session.run(() => own.apply(pieces));
          if (applied.endLsn !== undefined) log.acknowledge(applied.endLsn);
        }
      };
      const tables = plan.sourceOrder.map((label) =>
        sourceTable(label, plan.edges.owner, schemas[from]),
      );
      const exclusively = <T>(work: (client: typeof target.client) => Promise<T>): Promise<T> =>
        session.run(() => work(target.client));
      await Promise.all([
        stream(),
        runBackfill(
          {
            flow: flow.flow,
            source,
            tables,
            copying,
            exclusively,
            ...{
              waits: new Map(),
              parallel: 1,
              openSource: () => Promise.reject(new Error('one is enough')),
            },
            pace: new CopyPace(),
            chunkRows: options.chunkRows ?? 7,
          },
          signal,
        ),
      ]);
    },
    close: async () => {
      await log.close();
      await target.close();
      await reader.end();
    },
  };
}

class Hooked extends Source {
  afterRead: FlowPartsOptions['afterRead'];

  override async linesAfter(
    ...args: Parameters<Source['linesAfter']>
  ): ReturnType<Source['linesAfter']> {
    const read = await super.linesAfter(...args);
    const [table] = args;
    await this.afterRead?.(
      table.label,
      linesOf(read.lines).flatMap((line) => table.keyOf(decodeLine(line))),
    );
    return read;
  }
}
