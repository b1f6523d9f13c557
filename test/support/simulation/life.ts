// One life of a flow: the engine's own parts on a real target, its source simulated. Whatever would
// wait for time or for the source waits for the schedule instead; so a life goes on exactly as far as
// the schedule has it, and ends where a failpoint is.
import type pg from 'pg';
import { Applier } from '../../../sync/apply.ts';
import { runBackfill } from '../../../sync/backfill.ts';
import { CopyPace } from '../../../sync/copy-pace.ts';
import type { ChangeLog } from '../../../sync/change-log.ts';
import { Copying } from '../../../sync/copying.ts';
import { targetsOf, type FlowPlan } from '../../../sync/domain/plan.ts';
import { followLetters } from '../../../sync/letters.ts';
import { Mutex } from '../../../sync/mutex.ts';
import { Parking } from '../../../sync/parking.ts';
import { Target } from '../../../sync/target.ts';
import { turn } from '../../../sync/turn.ts';
import { sourceTable } from '../../../sync/source.ts';
import type { LiveSchema } from '../../../core/postgres/catalog.ts';
import type { FlowNames } from '../../../control/domain/names.ts';
import type { Dice } from './dice.ts';
import { Doom, type Failpoint } from './failpoints.ts';
import type { SimulatedLog } from './history.ts';
import type { Side } from './side.ts';
import { SimulatedSource } from './source.ts';

export interface LifeOptions {
  readonly names: FlowNames;
  readonly plan: FlowPlan;
  readonly schema: LiveSchema;
  readonly from: Side;
  readonly into: Side;
  /** The applier's login. */
  readonly url: string;
  readonly dice: Dice;
  readonly run: string;
  /** A session that an earlier life has left in good order. */
  readonly session: Target | undefined;
  /** Whether the tables are copied first. */
  readonly copies: boolean;
}

export class Life {
  readonly target: Target;
  readonly copying: Copying;
  readonly parking: Parking;
  readonly applier: Applier;
  readonly source: SimulatedSource;
  readonly #log: SimulatedLog;
  readonly #doom: Doom;
  readonly #dice: Dice;
  readonly #session = new Mutex();
  readonly #stop = new AbortController();
  readonly #paused = new Map<'copy' | 'letters', () => void>();
  readonly #beside: Promise<unknown>;
  /** What ended the work beside the stream, if not a crash. */
  #failure: unknown;

  static async begin(options: LifeOptions): Promise<Life> {
    const { names, plan, from, url, run, copies } = options;
    const target = options.session ?? (await Target.open(url, names));
    const copying = new Copying(names.flow, run);
    await copying.load(target.client, plan.sourceOrder, copies ? 'prune' : 'done');
    copying.suspect(from.snapshot());
    const parking = new Parking(names.flow, targetsOf(plan));
    await parking.load(target.client);
    const applier = new Applier(target, plan, copying, parking, await target.checkpoint());
    return new Life(options, target, copying, parking, applier);
  }

  private constructor(
    options: LifeOptions,
    target: Target,
    copying: Copying,
    parking: Parking,
    applier: Applier,
  ) {
    const { names, plan, from, dice, schema } = options;
    this.target = target;
    this.copying = copying;
    this.parking = parking;
    this.applier = applier;
    this.#dice = dice;
    this.#doom = new Doom(target.client);
    this.#log = from.history.open(applier.checkpoint.position);
    this.source = new SimulatedSource(from);
    const tables = plan.sourceOrder.map((label) => sourceTable(label, plan.edges.owner, schema));
    const exclusively = <T>(work: (client: pg.Client) => Promise<T>): Promise<T> =>
      this.#session.run(() => work(target.client));
    const pause =
      (who: 'copy' | 'letters') =>
      (_ms: number, signal?: AbortSignal): Promise<void> =>
        new Promise((resolve) => {
          if (signal?.aborted) resolve();
          signal?.addEventListener('abort', () => {
            resolve();
          });
          this.#paused.set(who, resolve);
        });
    const { signal } = this.#stop;
    const { flow } = names;
    this.#beside = Promise.all([
      followLetters(
        { flow, applier, copying, parking, exclusively, pause: pause('letters') },
        signal,
      ),
      runBackfill(
        {
          flow,
          source: this.source,
          tables,
          copying,
          exclusively,
          // One worker takes the tables in their order: nobody has to wait.
          waits: new Map(),
          parallel: 1,
          openSource: () => Promise.reject(new Error('one table at a time')),
          pace: new NoPace(),
          pause: pause('copy'),
          chunkRows: 3,
        },
        signal,
      ),
    ]).catch((error: unknown) => {
      this.#failure = error;
    });
  }

  /** Everything that the source has written so far has been handed over. */
  get drained(): boolean {
    return this.#log.drained;
  }

  /** How often it has asked the target to commit. */
  get commits(): number {
    return this.#doom.commits;
  }

  get crashed(): Failpoint | undefined {
    return this.#doom.struck;
  }

  /** Takes a few pieces of the stream. */
  async stream(upTo: number, at: Failpoint | undefined): Promise<void> {
    this.#log.upTo = upTo;
    const log: ChangeLog = {
      timeline: this.#log.timeline,
      read: async () => {
        this.#doom.pass('before receive');
        const pieces = this.#doom.watched(await this.#log.read());
        this.#doom.pass('after receive');
        return pieces;
      },
      acknowledge: (lsn) => {
        if (this.#doom.owed) throw new Error(`acknowledged ${lsn}, which is not durable`);
        this.#doom.pass('before acknowledge');
        this.#log.acknowledge(lsn);
        this.#doom.pass('after acknowledge');
      },
      close: () => this.#log.close(),
    };
    await this.#mortal(at, async () => {
      await turn({ log, applier: this.applier, session: this.#session }, this.#stop.signal);
    });
  }

  /** Lets what pauses go on, or what waits for the source have its answer. */
  async beside(what: 'copy' | 'letters' | 'source', at: Failpoint | undefined): Promise<void> {
    await this.#mortal(at, () => {
      if (what === 'source') this.source.answer();
      else {
        const resume = this.#paused.get(what);
        this.#paused.delete(what);
        resume?.();
      }
      return Promise.resolve();
    });
  }

  /** Waits until everything waits for the schedule. Throws what went wrong, if it was no crash. */
  async #mortal(at: Failpoint | undefined, step: () => Promise<void>): Promise<void> {
    this.#doom.choose(at, this.#dice);
    try {
      await step();
    } catch (error) {
      if (this.crashed === undefined) throw error;
    }
    await this.quiet();
    this.#doom.choose(undefined, this.#dice);
    if (this.#failure !== undefined && this.crashed === undefined) throw this.#failure as Error;
  }

  async quiet(): Promise<void> {
    for (let turns = 0; turns < 4 && this.crashed === undefined; turns++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#doom.underWay > 0) turns = -1;
    }
  }

  /** Ends this life; gives its session where that is in good order. */
  async end(): Promise<Target | undefined> {
    this.#stop.abort();
    this.source.end();
    if (this.crashed === undefined) await this.quiet();
    await this.#beside;
    this.#doom.lift();
    return this.crashed === undefined ? this.target : undefined;
  }
}

/** The schedule alone decides when a request is answered: nothing rests by the clock. */
class NoPace extends CopyPace {
  override turn(signal: AbortSignal): Promise<boolean> {
    return Promise.resolve(!signal.aborted);
  }

  override async read<T>(
    _table: string,
    work: () => Promise<T>,
  ): Promise<{ readonly read: T; readonly tookMs: number }> {
    return { read: await work(), tookMs: 0 };
  }
}
