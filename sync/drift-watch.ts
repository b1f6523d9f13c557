// Looks at a running flow's source as long as it runs: whether its tables are still those that the copies
// were made from. A partition that comes is noted at once, for it may go again, now or while no flow runs,
// and take rows along that the stream has brought.
import type pg from 'pg';
import { sleep } from '../core/lifecycle.ts';
import { loadedBefore, readShapes, type Shapes } from './drift.ts';
import { MappingError } from './domain/mapping.ts';
import type { FlowPlan } from './domain/plan.ts';
import { altered, repartitioned, type Shape } from './domain/shape.ts';

const LOOK_MS = 3_000;

export interface DriftWatchOptions {
  /** Session at the source. */
  readonly client: pg.Client;
  readonly publication: string;
  readonly plan: FlowPlan;
  /** Keeps what the tables are by now; gives those that must be copied again. */
  readonly note: (shapes: Shapes) => Promise<readonly { table: string; why: string }[]>;
}

export class DriftWatch {
  readonly #options: DriftWatchOptions;
  #known: Shapes;

  constructor(options: DriftWatchOptions, began: Shapes) {
    this.#options = options;
    this.#known = began;
  }

  /** What the tables are now. Throws MappingError at a change that the flow must not run past. */
  async look(): Promise<Shapes> {
    const { client, publication, plan } = this.#options;
    const shapes = await readShapes(client, publication, plan);
    for (const [table, now] of shapes) {
      const before = this.#known.get(table);
      if (!before) continue;
      const why =
        altered(before, now) ??
        repartitioned(before, now) ??
        (await loadedBefore(client, table, before, now));
      if (why !== undefined) throw copiedAgain(table, why);
    }
    return shapes;
  }

  /** Looks again and again until the signal aborts. Throws like `look`. */
  async run(signal: AbortSignal, pause = sleep): Promise<void> {
    await pause(LOOK_MS, signal);
    while (!signal.aborted) {
      const shapes = await this.look();
      if ([...shapes].some(([table, now]) => isNew(this.#known.get(table), now))) {
        const [again] = await this.#options.note(shapes);
        if (again) throw copiedAgain(again.table, again.why);
        this.#known = shapes;
      }
      await pause(LOOK_MS, signal);
    }
  }
}

function copiedAgain(table: string, why: string): MappingError {
  return new MappingError(`table ${table} ${why}: it is copied again`);
}

/** Whether it has a partition that it had not. */
function isNew(before: Shape | undefined, { partitions = {} }: Shape): boolean {
  const old = before?.partitions;
  return old !== undefined && Object.keys(partitions).some((number) => !(number in old));
}
